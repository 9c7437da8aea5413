"""The allow list while its file changes."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from db.intake import Sender
from listener.sources import Sources

MODALITY = Sender("MODALITY", "127.0.0.1")
FIRST = '[[source]]\nae_title = "MODALITY"\nquiet_seconds = 5\n'
LONGER = '[[source]]\nae_title = "MODALITY"\nquiet_seconds = 60\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(FIRST)
    return path


def quiet_seconds(sources: Sources) -> float | None:
    source = sources.find(MODALITY)
    return source.quiet_seconds if source else None


def test_a_changed_file_holds_from_the_next_look_on(file: Path) -> None:
    sources = Sources(file)
    assert quiet_seconds(sources) == 5
    file.write_text(LONGER)
    assert quiet_seconds(sources) == 60


def test_a_bad_file_keeps_the_last_good_one_until_it_is_mended(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sources = Sources(file)
    file.write_text("[[source]\n")
    assert quiet_seconds(sources) == 5
    assert "routes.toml" in caplog.text
    assert quiet_seconds(sources) == 5
    assert len(caplog.records) == 1  # once, not with every object
    file.write_text(LONGER)
    assert quiet_seconds(sources) == 60


def test_a_file_that_vanishes_keeps_its_last_sources(file: Path) -> None:
    sources = Sources(file)
    file.unlink()
    assert quiet_seconds(sources) == 5


def test_a_file_that_appears_replaces_the_loopback_default(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "routes.toml")
    assert quiet_seconds(sources) == 15
    (tmp_path / "routes.toml").write_text('[[source]]\nae_title = "OTHER"\n')
    assert quiet_seconds(sources) is None


def test_without_a_file_only_this_machine_may_send(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "routes.toml")
    assert sources.find(Sender("ANYONE", "::ffff:127.0.0.1"))
    assert not sources.find(Sender("ANYONE", "10.0.0.7"))


def test_a_bad_file_stops_the_start(file: Path) -> None:
    file.write_text("[[source]\n")
    with pytest.raises(SettingsError, match=r"routes\.toml"):
        Sources(file)
