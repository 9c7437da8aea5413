"""Kinds, settings and results of destinations are checked by name."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from db.routes import load_routes
from workers.destinations.registry import check_destination, describe_address

DESTINATION = (
    '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
)


def test_a_valid_destination_has_an_address(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(DESTINATION)
    [table] = load_routes(tmp_path / "routes.toml", check_destination).destination
    assert table.kind == "dimse"
    assert describe_address(table) == "PACS at pacs.example:104"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("port = 104", "port = 0", "port: Input should be greater than 0"),
        ("port = 104\n", "", "port: Field required"),
        ("port", "prot", "port: Field required; prot: Extra inputs are not permitted"),
        ('"PACS"', '"SEVENTEENLETTERSX"', "ae_title: String should have at most 16 characters"),
        ("port", 'kind = "fax"\nport', "'fax' is not a destination kind; there is dimse"),
        ("port", 'results = ["pdf"]\nport', "'pdf' is not a result kind"),
        (
            "port",
            'profile = "ohfi"\nport',
            "'ohfi' is not a destination profile. Use one of: general",
        ),
        ("port", 'profile = "ohif"\nresults = ["sr"]\nport', "profile and results are both given"),
        ("port", 'profile = "ohif"\nresults = []\nport', "profile and results are both given"),
    ],
)
def test_a_mistake_names_the_file_the_destination_and_the_key(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    (tmp_path / "routes.toml").write_text(DESTINATION.replace(old, new))
    with pytest.raises(SettingsError, match=rf"routes\.toml: destination 'pacs': {problem}"):
        load_routes(tmp_path / "routes.toml", check_destination)
