"""Bring a database to the schema of this version, and check that it is there."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from db.schema import Base


def configuration(engine: Engine) -> Config:
    """Alembic with its paths already known; for ``alembic`` commands beyond these."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine) -> None:
    """Create or upgrade the schema; nothing happens when it is current."""
    command.upgrade(configuration(engine), "head")


def current(engine: Engine) -> bool:
    """Whether the database is at this version's schema."""
    newest = ScriptDirectory.from_config(configuration(engine)).get_current_head()
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == newest


def drift(engine: Engine) -> list[object]:
    """Differences between the migrated database and ``db.schema``; empty when they agree."""
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))
