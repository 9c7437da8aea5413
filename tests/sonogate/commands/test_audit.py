"""`sonogate audit`: exit codes that a nightly job can rely on."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.engine import Database
from db.settings import StoreSettings
from tests.sonogate.conftest import Run


@pytest.fixture
def database(installed: Path) -> Iterator[Database]:
    """Of an installation whose chain has a few events: its first administrator and two more."""
    database = Database(StoreSettings.load().effective_database_url)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def _some_events(database: Database, run: Run) -> None:
    for name in ("jane", "john"):
        run("users", "add", name, "--role", "auditor")


def tamper(database: Database, statement: str) -> None:
    """As someone would who owns the database file."""
    with database.write() as session:
        connection = session.connection()
        triggers = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
        )
        for (name,) in triggers.all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql(statement)


def head(output: str) -> str:
    found = re.search(r"head ([0-9a-f]{64})", output)
    assert found, output
    return found[1]


def test_an_intact_chain_exits_with_0_and_prints_its_head(run: Run) -> None:
    result = run("audit", "verify")
    assert result.exit_code == 0
    assert run("audit", "verify", "--anchor", head(result.output)).exit_code == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'nobody' WHERE seq = 2",
        "DELETE FROM audit_event WHERE seq = 2",
    ],
)
def test_a_broken_chain_exits_with_1_and_names_the_event(
    run: Run, database: Database, statement: str
) -> None:
    tamper(database, statement)
    result = run("audit", "verify")
    assert result.exit_code == 1
    assert "BROKEN: event 2" in result.output


def test_a_chain_cut_off_with_its_head_is_found_by_the_anchor(run: Run, database: Database) -> None:
    anchor = head(run("audit", "verify").output)
    tamper(database, "DELETE FROM audit_event WHERE seq = 3")
    tamper(
        database,
        "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit_event WHERE seq = 2)",
    )
    assert run("audit", "verify").exit_code == 0
    assert run("audit", "verify", "--anchor", anchor).exit_code == 1


def test_list_shows_the_newest_first_and_says_what_it_left_out(run: Run) -> None:
    result = run("audit", "list", "--limit", 1, "--tag", "accounts:")
    assert '"username":"john"' in result.stdout
    assert "jane" not in result.stdout
    assert "2 older events" in result.stderr


def test_export_writes_every_column_of_the_events_that_fit(run: Run, tmp_path: Path) -> None:
    lines = run("audit", "export", "--actor", "sonogate").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    assert run("audit", "export", "--until", "2020-01-01").stdout == ""
    file = tmp_path / "events.csv"
    assert run("audit", "export", "--format", "csv", "--output", file).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert len(rows) == 3
    assert len(rows[0]["hash"]) == 64
