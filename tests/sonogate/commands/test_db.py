"""`sonogate db`."""

from pathlib import Path

from db.engine import Database
from db.settings import StoreSettings
from tests.sonogate.conftest import Run


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
