"""The routes file: each mistake is named, each study finds its way."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from db.routes import Routes, load_routes

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
name = "the rest"
source_ae = ["MODALITY"]
destinations = ["archive"]
"""


def load(tmp_path: Path, text: str) -> Routes:
    (tmp_path / "routes.toml").write_text(text)
    return load_routes(tmp_path / "routes.toml")


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    return load(tmp_path, WHOLE.replace("the rest", "rest"))


def test_a_source_admits_by_title_and_network(routes: Routes) -> None:
    assert routes.source_for("MODALITY", "10.1.2.3")
    assert routes.source_for("MODALITY", "fd00::7")
    assert routes.source_for("MODALITY", "::ffff:10.1.2.3")  # IPv4 on a socket for both
    assert routes.source_for("MODALITY", "10.2.0.1") is None
    assert routes.source_for("modality", "10.1.2.3") is None


def test_the_first_route_that_takes_a_study_decides(routes: Routes) -> None:
    def way(source_ae: str, description: str) -> str | None:
        route = routes.route_for(source_ae, description)
        return route.name if route else None

    assert way("MODALITY", "US MAMMA LINKS") == "breast"
    assert way("MODALITY", "US thyroid") == "rest"
    assert way("OTHER", "US thyroid") is None


def test_a_destination_wants_seg_and_sr_unless_it_says_otherwise(routes: Routes) -> None:
    pacs, archive = routes.destination
    assert pacs.results == ("seg", "sr")
    assert archive.results == ("sr",)


def test_without_a_file_loopback_may_send_and_nothing_leaves(tmp_path: Path) -> None:
    routes = load_routes(tmp_path / "routes.toml")
    assert routes.source_for("ANYONE", "127.0.0.1")
    assert routes.source_for("ANYONE", "::1")
    assert routes.source_for("ANYONE", "10.0.0.1") is None
    assert routes.route_for("ANYONE", "US breast") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
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
        ('[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"', r"destination\.0\.port"),
        (
            '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\nresults = [""]',
            r"destination\.0\.results\.0",
        ),
        (
            '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\n' * 2,
            "'p' is given twice",
        ),
        ('[[route]]\nname = "r"\ndestinations = ["nowhere"]', "no known destination: 'nowhere'"),
        ('[[route]]\nname = "a b"\ndestinations = []', r"route\.0\.name"),
        ("[sauce]\n", "sauce"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=rf"routes\.toml.*{complaint}"):
        load(tmp_path, text)


def only_reports(text: str) -> None:
    if not text.startswith("sr"):
        raise ValueError(f"{text!r} is no result; there are sr")


def test_a_result_that_nobody_can_make_is_named_with_its_file_and_destination(
    tmp_path: Path,
) -> None:
    (tmp_path / "routes.toml").write_text(WHOLE.replace("the rest", "rest"))
    complaint = r"routes\.toml: destination 'pacs': 'seg' is no result; there are sr"
    with pytest.raises(SettingsError, match=complaint):
        load_routes(tmp_path / "routes.toml", only_reports)


def test_results_are_words_to_those_who_only_receive(tmp_path: Path) -> None:
    text = WHOLE.replace("the rest", "rest").replace('["sr"]', '["sr:enhanced", "hologram"]')
    assert load(tmp_path, text).destination[1].results == ("sr:enhanced", "hologram")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"routes\.toml is not UTF-8"):
        load_routes(tmp_path / "routes.toml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "routes.toml").mkdir()
    with pytest.raises(SettingsError, match=r"routes\.toml cannot be read"):
        load_routes(tmp_path / "routes.toml")
