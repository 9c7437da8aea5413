"""`sonogate setup`, `db`, `users`, `routes`: what they print and how they exit."""

import re
from pathlib import Path

import pytest

from db.engine import Database
from db.settings import StoreSettings
from db.types import now_utc
from db.users import verify_login
from tests.sonogate.conftest import Run


def login(username: str, password: str) -> bool:
    database = Database(StoreSettings.load().effective_database_url)
    try:
        return verify_login(database, username, password, now_utc()) is not None
    finally:
        database.close()


def one_time_password(output: str) -> str:
    found = re.search(r"one-time password (\S+)", output)
    assert found, output
    return found[1]


def test_setup_prints_the_first_administrators_password_once(run: Run, home: Path) -> None:
    first = run("setup")
    assert first.exit_code == 0
    assert login("admin", one_time_password(first.output))
    again = run("setup")
    assert again.exit_code == 0
    assert "password" not in again.output


def test_db_upgrade_then_check_is_well(run: Run, home: Path) -> None:
    assert run("db", "check").exit_code == 1
    assert run("db", "upgrade").exit_code == 0
    assert run("db", "check").exit_code == 0


def test_db_check_shows_how_a_database_differs(run: Run, installed: Path) -> None:
    database = Database(StoreSettings.load().effective_database_url)
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE stray (id INTEGER)")
    database.close()
    result = run("db", "check")
    assert result.exit_code == 1
    assert "stray" in result.stderr


def test_a_person_is_added_listed_reset_and_switched_off(run: Run, installed: Path) -> None:
    reader = ("users", "add", "jane", "--role", "radiologist", "--name", "Jane Doe")
    assert "the organization for which the radiologist signs" in run(*reader).stderr
    added = run(*reader, "--organization", "Clinic")
    first = one_time_password(added.output)
    assert login("jane", first)
    second = one_time_password(run("users", "reset-password", "jane").output)
    assert not login("jane", first)
    assert login("jane", second)
    assert run("users", "deactivate", "jane").exit_code == 0
    assert not login("jane", second)
    assert re.search(r"jane +radiologist +inactive +Jane Doe", run("users", "list").output)
    assert run("users", "activate", "jane").exit_code == 0
    assert login("jane", second)


def test_the_last_administrator_stays(run: Run, installed: Path) -> None:
    result = run("users", "deactivate", "admin")
    assert result.exit_code == 1
    assert (
        result.stderr == "sonogate: this is the last active administrator: add another one first\n"
    )


def test_routes_check_says_what_a_file_means(run: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[source]]\nae_title = "US1"\naddresses = ["10.0.0.0/8"]\nstable_after_seconds = 30\n'
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        '[[route]]\nname = "breast"\ndestinations = ["pacs"]\n'
    )
    result = run("routes", "check", file)
    assert result.exit_code == 0
    assert "US1 from 10.0.0.0/8; a study is stable after 30 s" in result.output
    assert "pacs: PACS at pacs.example:104; results seg, sr" in result.output
    assert "breast: from any sender to pacs" in result.output


@pytest.mark.parametrize("content", ["[[source]\n", '[[source]]\nae_title = ""\n'])
def test_routes_check_names_what_is_wrong(
    run: Run, home: Path, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(content)
    result = run("routes", "check", file)
    assert result.exit_code == 1
    assert str(file) in result.stderr


def test_routes_check_names_a_result_that_cannot_be_made_and_those_that_can(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs.example"\nport = 104\n'
        'results = ["seg", "sr:basic"]\n'
    )
    result = run("routes", "check", file)
    assert result.exit_code == 1
    assert f"{file}: destination 'pacs': 'sr:basic' is not a variant of sr" in result.stderr
    assert "comprehensive, comprehensive-3d, enhanced" in result.stderr


def test_without_a_routes_file_nothing_leaves(run: Run, home: Path) -> None:
    assert "no results are sent" in run("routes", "check").output
