"""The routes file while it changes under a service that runs."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from db.route_book import RouteBook

FIRST = '[[source]]\nae_title = "MODALITY"\nstable_after_seconds = 5\n'
LONGER = '[[source]]\nae_title = "MODALITY"\nstable_after_seconds = 60\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(FIRST)
    return path


def stable_after_seconds(book: RouteBook) -> float | None:
    source = book.current().source_for("MODALITY", "127.0.0.1")
    return source.stable_after_seconds if source else None


def test_a_changed_file_holds_from_the_next_look_on(file: Path) -> None:
    book = RouteBook(file)
    assert stable_after_seconds(book) == 5
    file.write_text(LONGER)
    assert stable_after_seconds(book) == 60


def test_a_bad_file_keeps_the_last_good_one_until_it_is_mended(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = RouteBook(file)
    file.write_text("[[source]\n")
    assert stable_after_seconds(book) == 5
    assert "routes.toml" in caplog.text
    assert stable_after_seconds(book) == 5
    assert len(caplog.records) == 1  # once, not with every object
    file.write_text(LONGER)
    assert stable_after_seconds(book) == 60


def test_what_a_vanished_file_said_stays_in_force(file: Path) -> None:
    book = RouteBook(file)
    file.unlink()
    assert stable_after_seconds(book) == 5


def test_a_file_that_appears_replaces_the_loopback_default(tmp_path: Path) -> None:
    book = RouteBook(tmp_path / "routes.toml")
    assert stable_after_seconds(book) == 15
    (tmp_path / "routes.toml").write_text('[[source]]\nae_title = "OTHER"\n')
    assert stable_after_seconds(book) is None


def test_without_a_file_only_this_machine_may_send_and_nothing_leaves(tmp_path: Path) -> None:
    routes = RouteBook(tmp_path / "routes.toml").current()
    assert routes.source_for("ANYONE", "::ffff:127.0.0.1")
    assert not routes.source_for("ANYONE", "10.0.0.7")
    assert not routes.destination


def test_a_bad_file_stops_the_start(file: Path) -> None:
    file.write_text("[[source]\n")
    with pytest.raises(SettingsError, match=r"routes\.toml"):
        RouteBook(file)


def test_results_that_nobody_can_make_make_a_file_bad(file: Path) -> None:
    def nothing_can_be_made(text: str) -> None:
        raise ValueError(f"{text!r} is no result")

    book = RouteBook(file, nothing_can_be_made)
    destination = '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\n'
    file.write_text(LONGER + destination)
    assert stable_after_seconds(book) == 5
    with pytest.raises(SettingsError, match="destination 'p': 'seg' is no result"):
        RouteBook(file, nothing_can_be_made)
