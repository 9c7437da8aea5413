"""The routes file: validation, senders, routes."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from db.errors import SettingsError
from db.routes import DestinationTable, Routes, load_routes

WHOLE = """
[[source]]
ae_title = "MODALITY"
addresses = ["10.1.0.0/16", "fd00::/8"]
stable_after_seconds = 60

[[destination]]
name = "pacs"
ae_title = "PACS"
host = "pacs.example"
port = 104

[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "10.0.0.9"
port = 11112
results = ["sr"]

[[route]]
name = "breast"
description_contains = ["breast", "mamma"]
destinations = ["pacs", "archive"]

[[route]]
name = "rest"
source_ae = ["MODALITY"]
destinations = ["archive"]
"""


def load(tmp_path: Path, text: str) -> Routes:
    (tmp_path / "routes.toml").write_text(text)
    return load_routes(tmp_path / "routes.toml")


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    return load(tmp_path, WHOLE)


def test_a_source_admits_by_title_and_network(routes: Routes) -> None:
    assert routes.source_for("MODALITY", "10.1.2.3")
    assert routes.source_for("MODALITY", "fd00::7")
    assert routes.source_for("MODALITY", "::ffff:10.1.2.3")  # IPv4 on a socket for both
    assert routes.source_for("MODALITY", "10.2.0.1") is None
    assert routes.source_for("modality", "10.1.2.3") is None


def test_a_source_with_a_certificate_subject_needs_that_subject(tmp_path: Path) -> None:
    source = '[[source]]\nae_title = "US1"\ncertificate_subject = "CN=US1,O=Clinic"\n'
    routes = load(tmp_path, source)
    assert routes.source_for("US1", "127.0.0.1", "CN=US1,O=Clinic")
    assert routes.source_for("US1", "127.0.0.1", "CN=US2,O=Clinic") is None
    assert routes.source_for("US1", "127.0.0.1") is None


def test_the_first_route_that_matches_a_study_is_used(routes: Routes) -> None:
    def route_name(source_ae: str, description: str) -> str | None:
        route = routes.route_for(source_ae, description)
        return route.name if route else None

    assert route_name("MODALITY", "US MAMMA LINKS") == "breast"
    assert route_name("MODALITY", "US thyroid") == "rest"
    assert route_name("OTHER", "US thyroid") is None


def test_a_destination_names_a_profile_or_results_or_neither(tmp_path: Path) -> None:
    pacs, archive = load(tmp_path, WHOLE).destination
    assert (pacs.profile, pacs.results) == (None, None)
    assert (archive.profile, archive.results) == (None, ("sr",))
    _, archive = load(tmp_path, WHOLE.replace('results = ["sr"]', 'profile = "ohif"')).destination
    assert (archive.profile, archive.results) == ("ohif", None)


def test_without_a_file_only_this_machine_may_send_and_no_result_is_sent(tmp_path: Path) -> None:
    routes = load_routes(tmp_path / "routes.toml")
    assert routes.source_for("ANYONE", "127.0.0.1")
    assert routes.source_for("ANYONE", "::1")
    assert routes.source_for("ANYONE", "10.0.0.1") is None
    assert routes.route_for("ANYONE", "US breast") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[source]\n", "not valid TOML"),
        ('[[source]]\nae_titel = "X"', r"source\.0\.ae_titel"),
        ('[[source]]\nae_title = ""', r"source\.0\.ae_title"),
        ('[[source]]\nae_title = "SEVENTEENLETTERSX"', r"source\.0\.ae_title"),
        ('[[source]]\nae_title = "X"\naddresses = ["10.0.0"]', r"source\.0\.addresses\.0"),
        (
            '[[source]]\nae_title = "X"\nstable_after_seconds = 0',
            r"source\.0\.stable_after_seconds",
        ),
        ('[[destination]]\nae_title = "P"\nhost = "h"', r"destination\.0\.name"),
        (
            '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\nresults = [""]',
            r"destination\.0\.results\.0",
        ),
        (
            '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\n' * 2,
            "'p' is defined twice",
        ),
        ('[[route]]\nname = "r"\ndestinations = ["nowhere"]', "unknown destination: 'nowhere'"),
        ('[[route]]\nname = "a b"\ndestinations = []', r"route\.0\.name"),
        ("[sauce]\n", "sauce"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"routes\.toml.*{problem}"):
        load(tmp_path, text)


class PortOnly(BaseModel):
    port: int


def test_an_invalid_destination_is_named_with_its_file(tmp_path: Path) -> None:
    def reports_only(table: DestinationTable) -> None:
        if table.name == "archive":
            raise ValueError("'seg' is not a result")

    (tmp_path / "routes.toml").write_text(WHOLE)
    with pytest.raises(SettingsError, match=r"routes\.toml: destination 'archive': 'seg' is not a"):
        load_routes(tmp_path / "routes.toml", reports_only)


def test_an_invalid_setting_of_a_destination_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(WHOLE.replace("port = 11112", 'port = "x"'))
    with pytest.raises(SettingsError, match=r"routes\.toml: destination 'archive': port: Input"):
        load_routes(tmp_path / "routes.toml", lambda table: PortOnly.model_validate(table.settings))


def test_a_destination_has_the_settings_of_its_kind(tmp_path: Path) -> None:
    routes = load(tmp_path, WHOLE.replace('host = "10.0.0.9"', 'kind = "folder"'))
    pacs, archive = routes.destination
    assert (pacs.kind, archive.kind) == ("dimse", "folder")
    assert archive.settings == {"ae_title": "ARCHIVE", "port": 11112}


def test_results_are_not_checked_without_a_check(tmp_path: Path) -> None:
    text = WHOLE.replace('["sr"]', '["sr:enhanced", "hologram"]')
    assert load(tmp_path, text).destination[1].results == ("sr:enhanced", "hologram")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"routes\.toml is not UTF-8"):
        load_routes(tmp_path / "routes.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").mkdir()
    with pytest.raises(SettingsError, match=r"routes\.toml cannot be read"):
        load_routes(tmp_path / "routes.toml")
