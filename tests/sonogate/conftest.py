"""The command line, in this process or in a process of its own."""

import os
import shutil
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
    """The home directory that commands read from the environment; it does not exist yet."""
    path = tmp_path / "var"
    monkeypatch.setenv("SONOGATE_HOME", str(path))
    return path


@pytest.fixture(scope="session")
def _prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrating a database and hashing a password takes much longer than copying the result."""
    settings = CliSettings(home=tmp_path_factory.mktemp("prepared") / "var")
    prepare_installation(settings)
    create_first_admin(settings)
    return settings.home


@pytest.fixture
def installed(home: Path, _prepared_home: Path) -> Path:
    """A home directory with a migrated database and the first administrator."""
    shutil.copytree(_prepared_home, home)
    return home


@pytest.fixture
def run() -> Run:
    """`sonogate …` in this process."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The environment of `sonogate` in a process of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "SONOGATE_HOME": str(home)}


def sonogate(*arguments: object) -> list[str]:
    """The command of a `sonogate` process."""
    return [sys.executable, "-m", "sonogate", *(str(argument) for argument in arguments)]


def python(code: str, environment: dict[str, str]) -> str:
    """The standard output of a new interpreter that runs `code`."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return process.stdout
