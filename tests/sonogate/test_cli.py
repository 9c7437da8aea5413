"""The command line itself: help, errors, exit codes."""

import errno
import json
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.engine import Database
from db.errors import SettingsError
from sonogate.cli import COMMANDS, user_message
from tests.sonogate.conftest import Run, python

HEAVY = ("tensorflow", "keras", "celery", "sqlalchemy", "flask", "pynetdicom", "highdicom")


def test_help_lists_every_command_and_loads_none(environment: dict[str, str]) -> None:
    code = f"""
import json, sys
from click.testing import CliRunner
from sonogate.cli import cli
shown = CliRunner().invoke(cli, ["--help"]).output
print(json.dumps([shown, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    shown, loaded = json.loads(python(code, environment))
    assert loaded == []
    assert [name for name in COMMANDS if f"\n  {name} " not in shown] == []


def test_every_command_explains_itself_without_tensorflow(environment: dict[str, str]) -> None:
    code = """
import json, sys
from click.testing import CliRunner
from sonogate.cli import COMMANDS, cli
codes = {name: CliRunner().invoke(cli, [name, "--help"]).exit_code for name in COMMANDS}
print(json.dumps([codes, "tensorflow" in sys.modules or "keras" in sys.modules]))
"""
    codes, tensorflow = json.loads(python(code, environment))
    assert set(codes.values()) == {0}
    assert not tensorflow


def test_an_error_is_one_line_with_exit_code_1(run: Run, installed: Path) -> None:
    result = run("users", "reset-password", "nobody")
    assert result.exit_code == 1
    assert result.stderr == "sonogate: there is no user 'nobody'\n"


def test_debug_shows_the_traceback(run: Run, installed: Path) -> None:
    result = run("--debug", "users", "reset-password", "nobody")
    assert type(result.exception).__name__ == "UnknownUser"


def test_wrong_usage_is_exit_code_2(run: Run) -> None:
    assert run("fly").exit_code == 2
    assert run("send", "--to", "nowhere").exit_code == 2


def test_a_wrong_setting_is_named(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_LOG_FORMAT", "xml")
    result = run("users", "list")
    assert result.exit_code == 1
    assert "SONOGATE_LOG_FORMAT" in result.stderr


def test_a_command_refuses_a_database_that_is_not_migrated(run: Run, home: Path) -> None:
    result = run("users", "list")
    assert result.exit_code == 1
    assert "sonogate db upgrade" in result.stderr


def test_a_bug_keeps_its_traceback() -> None:
    assert user_message(ZeroDivisionError("division by zero")) is None


def test_our_own_errors_and_those_of_the_system_are_explained() -> None:
    assert user_message(SettingsError("SONOGATE_HOME: wrong")) == "SONOGATE_HOME: wrong"
    taken = user_message(OSError(errno.EADDRINUSE, "Address already in use"))
    assert taken is not None
    assert "port is already in use" in taken
    assert (
        user_message(FileNotFoundError(errno.ENOENT, "No such file", "a.dcm"))
        == "No such file: a.dcm"
    )


def test_a_database_error_does_not_quote_what_was_to_be_stored(sqlite_database: Database) -> None:
    insert = text(
        "INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, :name)"  # that row is there already
    )
    with pytest.raises(IntegrityError) as caught, sqlite_database.write() as session:
        session.execute(insert, {"name": "Doe^Jane"})
    explained = user_message(caught.value)
    assert explained is not None
    assert "UNIQUE constraint" in explained
    assert "Doe" not in explained
