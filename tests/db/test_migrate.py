"""Migrations: up on both databases, no drift from the schema, and down again."""

import hashlib
import io

import pytest
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from db import migrate
from db.engine import Database, is_sqlite
from db.migrations.guards import GUARDS
from db.schema import AuditHead, Base

FIRST_SCHEMA = {
    "sqlite": "e713b12e0da75769cce2c83fffec7def910eea7dce2ae30cf40ca828b466040e",
    "postgresql+psycopg": "e5f54083b280c0b13609ca310a9dbf804995f29b5f4cd2aa4768bd6290879079",
}
"""SHA-256 of the SQL that migration 0001 sends.

Alembic and SQLAlchemy render it, so a new version of these may change it too. Then make sure that
the SQL means the same before you replace the digest.
"""


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_a_migrated_database_has_every_table(database: Database) -> None:
    assert tables(database) - {"alembic_version"} == set(Base.metadata.tables)


def test_a_migrated_database_agrees_with_the_schema(database: Database) -> None:
    assert migrate.is_current(database.engine)
    assert migrate.find_drift(database.engine) == []


def test_drift_is_found(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE series ADD COLUMN surprise INTEGER"))
    assert "surprise" in str(migrate.find_drift(database.engine))


def test_a_new_database_has_the_head_of_the_chain(database: Database) -> None:
    with database.read() as session:
        assert session.get_one(AuditHead, 1).seq == 0


def test_upgrading_again_changes_nothing(database: Database) -> None:
    migrate.upgrade(database.engine)
    assert migrate.is_current(database.engine)


def test_downgrade_to_base_and_upgrade_again(database: Database) -> None:
    command.downgrade(migrate.alembic_config(database.engine), "base")
    assert tables(database) == {"alembic_version"}
    assert not migrate.is_current(database.engine)
    migrate.upgrade(database.engine)
    assert migrate.find_drift(database.engine) == []


def test_every_trigger_exists(database: Database) -> None:
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if is_sqlite(database.url)
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with database.engine.connect() as connection:
        found = set(connection.scalars(text(catalogue)))
    assert {guard.name for guard in GUARDS} <= found


def test_an_unmigrated_database_is_not_current(database: Database) -> None:
    command.downgrade(migrate.alembic_config(database.engine), "base")
    assert not migrate.is_current(database.engine)
    with pytest.raises(DBAPIError), database.read() as session:
        session.get(AuditHead, 1)


@pytest.mark.parametrize("driver", FIRST_SCHEMA)
def test_the_first_migration_is_frozen(sqlite_database: Database, driver: str) -> None:
    scripts = ScriptDirectory.from_config(migrate.alembic_config(sqlite_database.engine))
    sql = io.StringIO()
    context = MigrationContext.configure(
        url=f"{driver}://", opts={"as_sql": True, "output_buffer": sql}
    )
    with Operations.context(context):
        scripts.get_revision("0001").module.upgrade()
    words = " ".join(sql.getvalue().split())
    assert "CREATE TRIGGER guard_review_update" in words
    assert hashlib.sha256(words.encode()).hexdigest() == FIRST_SCHEMA[driver]


def test_revisions_follow_one_another_and_each_goes_down_and_up(database: Database) -> None:
    configuration = migrate.alembic_config(database.engine)
    scripts = ScriptDirectory.from_config(configuration)
    assert len(scripts.get_heads()) == 1
    for script in scripts.walk_revisions():  # from the newest
        assert not isinstance(script.down_revision, tuple)
        after = _columns(database)
        command.downgrade(configuration, "-1")
        command.upgrade(configuration, "+1")
        assert _columns(database) == after
        command.downgrade(configuration, "-1")
    assert tables(database) == {"alembic_version"}


def _columns(database: Database) -> dict[str, list[str]]:
    """Name, type and nullability. Order and defaults depend on how a column was added."""
    inspector = inspect(database.engine)
    return {
        table: sorted(
            f"{column['name']} {column['type']} {column['nullable']}"
            for column in inspector.get_columns(table)
        )
        for table in inspector.get_table_names()
    }
