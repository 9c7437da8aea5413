"""The database and the accounts of one installation, as commands open and create them."""

from collections.abc import Iterator
from contextlib import contextmanager

from db import migrate, users
from db.engine import Database
from db.settings import StoreSettings
from db.types import now_utc
from sonogate.errors import SchemaOutOfDate


@contextmanager
def open_database(settings: StoreSettings) -> Iterator[Database]:
    """Open the database whatever its schema, and close it at the end of the block."""
    if not settings.database_url:
        settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.effective_database_url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def open_current_database(settings: StoreSettings) -> Iterator[Database]:
    """Open a database that has this version's schema.

    Raises:
        SchemaOutOfDate: The schema is missing or of another version.
    """
    with open_database(settings) as database:
        if not migrate.is_current(database.engine):
            raise SchemaOutOfDate
        yield database


def prepare_installation(settings: StoreSettings) -> None:
    """Upgrade the schema and create the directories. Idempotent."""
    with open_database(settings) as database:
        migrate.upgrade(database.engine)
    settings.file_store().prepare()


def create_first_admin(settings: StoreSettings) -> str | None:
    """Create the first administrator and return the one-time password.

    Returns None if the installation already has accounts.
    """
    with open_current_database(settings) as database, database.write() as session:
        return users.ensure_first_admin(session, now_utc())


def must_change_password(settings: StoreSettings, username: str) -> bool:
    """Return whether the account exists and still has its one-time password."""
    with open_current_database(settings) as database, database.read() as session:
        account = users.find_user(session, username)
        return account is not None and account.must_change_password


def create_account(settings: StoreSettings, account: users.NewUser, *, actor: str) -> str | None:
    """Create an account and return its one-time password, or None if the username exists."""
    with open_current_database(settings) as database, database.write() as session:
        if users.find_user(session, account.username) is not None:
            return None
        return users.create_user(session, account, actor=actor, now=now_utc())
