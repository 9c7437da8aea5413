"""The command line, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sonogate.cli import cli
from sonogate.database import create_first_admin, prepare_installation
from sonogate.settings import CliSettings

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory that commands find in the environment; nothing is in it yet."""
    path = tmp_path / "var"
    monkeypatch.setenv("SONOGATE_HOME", str(path))
    return path


@pytest.fixture
def installed(home: Path) -> Path:
    """A home directory with a migrated database and the first administrator."""
    settings = CliSettings.load()
    prepare_installation(settings)
    create_first_admin(settings)
    return home


@pytest.fixture
def run() -> Run:
    """`sonogate …` in this process."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(each) for each in arguments])

    return invoke


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """For `sonogate` in a process of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "SONOGATE_HOME": str(home)}


def sonogate(*arguments: object) -> list[str]:
    """The command line of a `sonogate` process."""
    return [sys.executable, "-m", "sonogate", *(str(each) for each in arguments)]


def python(code: str, environment: dict[str, str]) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
