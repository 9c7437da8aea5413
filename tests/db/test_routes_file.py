"""The routes file of a running service."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from db.routes import DestinationTable
from db.routes_file import RoutesFile

FIRST = '[[source]]\nae_title = "MODALITY"\nstable_after_seconds = 5\n'
LONGER = '[[source]]\nae_title = "MODALITY"\nstable_after_seconds = 60\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(FIRST)
    return path


def stable_after_seconds(routes_file: RoutesFile) -> float | None:
    source = routes_file.current().source_for("MODALITY", "127.0.0.1")
    return source.stable_after_seconds if source else None


def test_a_changed_file_takes_effect_at_once(file: Path) -> None:
    routes_file = RoutesFile(file)
    assert stable_after_seconds(routes_file) == 5
    file.write_text(LONGER)
    assert stable_after_seconds(routes_file) == 60


def test_an_invalid_file_is_ignored_until_it_is_corrected(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    routes_file = RoutesFile(file)
    file.write_text("[[source]\n")
    assert stable_after_seconds(routes_file) == 5
    assert "routes.toml" in caplog.text
    assert stable_after_seconds(routes_file) == 5
    assert len(caplog.records) == 1  # once, not with every object
    file.write_text(LONGER)
    assert stable_after_seconds(routes_file) == 60


def test_a_deleted_file_stays_in_force(file: Path) -> None:
    routes_file = RoutesFile(file)
    file.unlink()
    assert stable_after_seconds(routes_file) == 5


def test_a_file_that_appears_replaces_the_loopback_default(tmp_path: Path) -> None:
    routes_file = RoutesFile(tmp_path / "routes.toml")
    assert stable_after_seconds(routes_file) == 15
    (tmp_path / "routes.toml").write_text('[[source]]\nae_title = "OTHER"\n')
    assert stable_after_seconds(routes_file) is None


def test_without_a_file_only_this_machine_may_send_and_nothing_leaves(tmp_path: Path) -> None:
    routes = RoutesFile(tmp_path / "routes.toml").current()
    assert routes.source_for("ANYONE", "::ffff:127.0.0.1")
    assert not routes.source_for("ANYONE", "10.0.0.7")
    assert not routes.destination


def test_an_invalid_file_stops_the_start(file: Path) -> None:
    file.write_text("[[source]\n")
    with pytest.raises(SettingsError, match=r"routes\.toml"):
        RoutesFile(file)


def test_a_file_with_an_unknown_result_is_invalid(file: Path) -> None:
    def refuse(_: DestinationTable) -> None:
        raise ValueError("'seg' is no result")

    routes_file = RoutesFile(file, refuse)
    destination = '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\n'
    file.write_text(LONGER + destination)
    assert stable_after_seconds(routes_file) == 5
    with pytest.raises(SettingsError, match="destination 'p': 'seg' is no result"):
        RoutesFile(file, refuse)
