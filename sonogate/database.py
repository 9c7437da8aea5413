"""The database as commands open it: right away, migrated or refused, closed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from db import migrate, users
from db.engine import Database
from db.settings import StoreSettings
from db.types import now_utc
from sonogate.errors import NotMigrated


@contextmanager
def opened(settings: StoreSettings) -> Iterator[Database]:
    """A database that may lack the schema of this version."""
    if not settings.database_url:
        settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.effective_database_url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def migrated(settings: StoreSettings) -> Iterator[Database]:
    """A database at the schema of this version. Raises NotMigrated."""
    with opened(settings) as database:
        if not migrate.is_current(database.engine):
            raise NotMigrated
        yield database


def prepare(settings: StoreSettings) -> None:
    """Upgrade the schema and make the directories; safe to call again."""
    with opened(settings) as database:
        migrate.upgrade(database.engine)
    settings.file_store().prepare()


def first_password(settings: StoreSettings) -> str | None:
    """Make the first administrator where there is nobody; the one-time password, to be shown now.

    None when there is somebody already.
    """
    with migrated(settings) as database, database.write() as session:
        return users.ensure_first_admin(session, now_utc())


def has_never_logged_in(settings: StoreSettings, username: str = users.FIRST_ADMIN) -> bool:
    """Whether the account's one-time password is still the valid one."""
    with migrated(settings) as database, database.read() as session:
        account = users.find_user(session, username)
        return account is not None and account.must_change_password


def password_of_new(settings: StoreSettings, account: users.NewUser, *, actor: str) -> str | None:
    """Add an account and return its one-time password; None when there is one of that name."""
    with migrated(settings) as database, database.write() as session:
        if users.find_user(session, account.username) is not None:
            return None
        return users.create_user(session, account, actor=actor, now=now_utc())
