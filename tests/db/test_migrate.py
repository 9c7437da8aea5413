"""Migrations: up on both databases, no drift from the schema, and down again."""

import pytest
from alembic import command
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from db import migrate
from db.engine import Database, is_sqlite
from db.migrations.guards import GUARDS
from db.schema import AuditHead, Base


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_a_migrated_database_has_every_table(database: Database) -> None:
    assert tables(database) - {"alembic_version"} == set(Base.metadata.tables)


def test_a_migrated_database_agrees_with_the_schema(database: Database) -> None:
    assert migrate.current(database.engine)
    assert migrate.drift(database.engine) == []


def test_a_drift_is_told(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE series ADD COLUMN surprise INTEGER"))
    assert "surprise" in str(migrate.drift(database.engine))


def test_the_chain_has_its_head_from_the_start(database: Database) -> None:
    with database.read() as session:
        assert session.get_one(AuditHead, 1).seq == 0


def test_upgrading_again_changes_nothing(database: Database) -> None:
    migrate.upgrade(database.engine)
    assert migrate.current(database.engine)


def test_going_down_and_up_again_works(database: Database) -> None:
    command.downgrade(migrate.configuration(database.engine), "base")
    assert tables(database) == {"alembic_version"}
    assert not migrate.current(database.engine)
    migrate.upgrade(database.engine)
    assert migrate.drift(database.engine) == []


def test_every_guard_stands(database: Database) -> None:
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if is_sqlite(database.url)
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with database.engine.connect() as connection:
        found = set(connection.scalars(text(catalogue)))
    assert {guard.name for guard in GUARDS} <= found


def test_an_unmigrated_database_is_not_current(database: Database) -> None:
    command.downgrade(migrate.configuration(database.engine), "base")
    assert not migrate.current(database.engine)
    with pytest.raises(DBAPIError), database.read() as session:
        session.get(AuditHead, 1)
