from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from db import users
from db.engine import Database
from db.schema import AuditEvent, Role, User
from db.users import FAILURES_WITHOUT_LOCK, LONGEST_LOCK, AccountInvalid, NewUser
from tests.db.rows import NOW

GOOD = "a sentence that is long enough"


def _enter(database: Database, password: str, now: datetime = NOW) -> User | None:
    return users.verify_login(database, "rita", password, now)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite for most tests, because password hashing is slow."""
    return sqlite_database


@pytest.fixture
def rita(database: Database) -> str:
    """A radiologist's one-time password."""
    with database.write() as session:
        new = NewUser("rita", Role.RADIOLOGIST, "Rita R", "R^Rita", "Clinic")
        return users.create_user(session, new, actor="test", now=NOW)


def test_the_first_admin_is_created_once_and_must_choose_a_password(database: Database) -> None:
    with database.write() as session:
        password = users.ensure_first_admin(session, NOW)
    with database.write() as session:
        assert users.ensure_first_admin(session, NOW) is None
    assert password is not None
    admin = users.verify_login(database, "admin", password, NOW)
    assert admin is not None
    assert (admin.role, admin.must_change_password) == (Role.ADMINISTRATOR, True)


def test_login_with_a_one_time_password_and_with_a_wrong_one(database: Database, rita: str) -> None:
    assert _enter(database, "wrong") is None
    assert users.verify_login(database, "nobody", rita, NOW) is None
    user = users.verify_login(database, " Rita ", rita, NOW)
    assert user is not None
    assert user.failed_logins == 0


def test_passwords_are_hashed_with_argon2id(database: Database, rita: str) -> None:
    with database.read() as session:
        kept = users.get_user(session, "rita").password_hash
    assert kept.startswith("$argon2id$")
    assert rita not in kept


def test_wrong_passwords_lock_the_account_for_a_growing_time(database: Database, rita: str) -> None:
    for _ in range(FAILURES_WITHOUT_LOCK + 1):
        assert _enter(database, "wrong") is None
    assert _enter(database, rita) is None  # right, but too early
    later = NOW + users.FIRST_LOCK + timedelta(seconds=1)
    assert _enter(database, "wrong", later) is None
    assert _enter(database, rita, later + users.FIRST_LOCK) is None  # twice as long by now
    assert _enter(database, rita, later + 2 * users.FIRST_LOCK) is not None


def test_the_lock_has_a_maximum_duration(database: Database, rita: str) -> None:
    with database.write() as session:
        user = users.get_user(session, "rita")
        user.failed_logins = 5000
        users.finish_login(session, user.id, matched=False, now=NOW)
        assert user.locked_until == NOW + LONGEST_LOCK


def test_the_lock_applies_to_attempts_that_began_before_it(database: Database, rita: str) -> None:
    with database.read() as session:
        attempt = users.begin_login(session, "rita", NOW)
    assert attempt.user_id is not None
    for _ in range(FAILURES_WITHOUT_LOCK + 1):
        _enter(database, "wrong")
    with database.write() as session:
        assert users.finish_login(session, attempt.user_id, matched=True, now=NOW) is None


def test_postgresql_counts_failed_logins_in_a_locked_row(
    postgresql_database: Database,
) -> None:
    with postgresql_database.write() as session:
        password = users.ensure_first_admin(session, NOW)
    assert password is not None
    for _ in range(FAILURES_WITHOUT_LOCK + 1):
        assert users.verify_login(postgresql_database, "admin", "wrong", NOW) is None
    assert users.verify_login(postgresql_database, "admin", password, NOW) is None
    later = NOW + users.FIRST_LOCK
    assert users.verify_login(postgresql_database, "admin", password, later) is not None


def test_events_of_failed_logins_do_not_contain_the_password(database: Database, rita: str) -> None:
    _enter(database, "secret-typo")
    with database.read() as session:
        found = session.scalars(
            select(AuditEvent).where(AuditEvent.tag == "accounts:user:login-failed")
        ).one()
    assert found.actor == "user:rita"
    assert "secret-typo" not in found.details


def test_a_chosen_password_replaces_the_one_time_one(database: Database, rita: str) -> None:
    with database.write() as session:
        user = users.get_user(session, "rita")
        before = users.password_fingerprint(user)
        users.set_password(session, user, GOOD, actor="user:rita", now=NOW)
        assert not user.must_change_password
        assert users.password_fingerprint(user) != before
    assert _enter(database, rita) is None
    assert _enter(database, GOOD) is not None


@pytest.mark.parametrize("password", ["short", "x" * 257, "my name is Rita, you know"])
def test_a_weak_password_is_refused(database: Database, rita: str, password: str) -> None:
    with database.write() as session:
        user = users.get_user(session, "rita")
        with pytest.raises(AccountInvalid) as refused:
            users.set_password(session, user, password, actor="user:rita", now=NOW)
    assert refused.value.field == "password"


def test_the_one_time_password_cannot_be_chosen_again(database: Database, rita: str) -> None:
    with database.write() as session, pytest.raises(AccountInvalid):
        users.set_password(
            session, users.get_user(session, "rita"), rita, actor="user:rita", now=NOW
        )


def test_a_reset_ends_the_lock_and_gives_a_new_one_time_password(
    database: Database, rita: str
) -> None:
    for _ in range(FAILURES_WITHOUT_LOCK + 1):
        _enter(database, "wrong")
    with database.write() as session:
        fresh = users.reset_password(session, users.get_user(session, "rita"), actor="cli", now=NOW)
    assert fresh != rita
    user = _enter(database, fresh)
    assert user is not None
    assert user.must_change_password


def test_a_deactivated_user_cannot_log_in(database: Database, rita: str) -> None:
    with database.write() as session:
        users.set_active(session, users.get_user(session, "rita"), False, actor="cli", now=NOW)
    assert _enter(database, rita) is None


def test_the_last_administrator_cannot_be_deactivated_or_change_role(database: Database) -> None:
    with database.write() as session:
        users.ensure_first_admin(session, NOW)
        admin = users.get_user(session, "admin")
        with pytest.raises(AccountInvalid):
            users.set_active(session, admin, False, actor="cli", now=NOW)
        new = NewUser("admin", Role.AUDITOR)
        with pytest.raises(AccountInvalid):
            users.change_account(session, admin, new, actor="cli", now=NOW)


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewUser("X", Role.AUDITOR), "username"),
        (NewUser("with space", Role.AUDITOR), "username"),
        (NewUser("rita", Role.AUDITOR), "username"),
        (NewUser("rob", Role.AUDITOR, "N" * 65), "display_name"),
        (NewUser("rob", Role.RADIOLOGIST, "Rob", "Rob\\Injected"), "dicom_name"),
        (NewUser("rob", Role.RADIOLOGIST, "Rob", "Rob", "Two\nlines"), "organization"),
        (NewUser("rob", Role.RADIOLOGIST, "Rob", "Rob", " "), "organization"),
    ],
)
def test_an_error_names_the_malformed_field(
    database: Database, rita: str, new: NewUser, field: str
) -> None:
    with database.write() as session, pytest.raises(AccountInvalid) as refused:
        users.create_user(session, new, actor="test", now=NOW)
    assert refused.value.field == field


def test_names_and_role_change_and_the_username_stays(database: Database, rita: str) -> None:
    with database.write() as session:
        user = users.get_user(session, "rita")
        new = NewUser("ignored", Role.AUDITOR, "Rita Q", "Q^Rita", "Clinic")
        users.change_account(session, user, new, actor="user:admin", now=NOW)
    with database.read() as session:
        user = users.get_user(session, "rita")
        assert (user.role, user.dicom_name, user.organization) == (
            Role.AUDITOR,
            "Q^Rita",
            "Clinic",
        )
        assert [user.username for user in users.list_users(session)] == ["rita"]


def test_a_radiologist_must_have_an_organization(database: Database, rita: str) -> None:
    with database.write() as session:
        user = users.get_user(session, "rita")
        new = NewUser("rita", Role.RADIOLOGIST, "Rita R", "R^Rita")
        with pytest.raises(AccountInvalid, match="the organization for which"):
            users.change_account(session, user, new, actor="user:admin", now=NOW)
        assert user.organization == "Clinic"


def test_an_unknown_user_is_named(database: Database) -> None:
    with database.read() as session, pytest.raises(users.UnknownUser, match="'ghost'"):
        users.get_user(session, "ghost")
