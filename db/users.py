"""User accounts, passwords and locks after wrong passwords.

Accounts are deactivated, not deleted, so that a username in the audit log always means the same
person.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.errors import DbError
from db.schema import Role, User

FIRST_ADMIN = "admin"
MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 256
FAILURES_WITHOUT_LOCK = 4
"""Number of consecutive wrong passwords that do not lock an account."""
FIRST_LOCK = timedelta(seconds=15)
"""It doubles with each further wrong password."""
LONGEST_LOCK = timedelta(minutes=15)

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")
_MAX_NAME_LENGTH = 64
_HASHER = PasswordHasher()  # argon2id, the low-memory parameters of RFC 9106


class AccountInvalid(DbError):
    """Raised when a field of an account, or a password, is invalid. ``field`` names it."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(problem)


class UnknownUser(DbError):
    """Raised when no account has the username."""

    def __init__(self, username: str) -> None:
        super().__init__(f"there is no user {username!r}")


@dataclass(frozen=True)
class NewUser:
    """Fields of an account.

    ``dicom_name`` (a PN, ``Family^Given``) and ``organization`` appear in verified reports.
    """

    username: str
    role: Role
    display_name: str = ""
    dicom_name: str = ""
    organization: str = ""


def actor(username: str) -> str:
    """Return the actor of an audit event for a user. Actors without the prefix are services."""
    return f"user:{username}"


def create_user(session: Session, new: NewUser, *, actor: str, now: datetime) -> str:
    """Add an account and return its one-time password, to be changed at the first login.

    Raises:
        AccountInvalid: a name is malformed or in use, or a radiologist has no organization.
    """
    username = new.username.strip().lower()
    _check_names(username, new)
    if find_user(session, username) is not None:
        raise AccountInvalid("username", f"the username {username!r} is already in use")
    password = generate_one_time_password()
    display_name = new.display_name.strip() or username
    user = User(
        username=username,
        display_name=display_name,
        dicom_name=new.dicom_name.strip() or display_name,
        organization=new.organization.strip(),
        role=new.role,
        password_hash=hash_password(password),
        must_change_password=True,
        active=True,
        failed_logins=0,
        created_at=now,
    )
    session.add(user)
    session.flush()
    _record(session, user, AuditTag.USER_CREATED, actor=actor, now=now, role=user.role)
    return password


def ensure_first_admin(session: Session, now: datetime) -> str | None:
    """Create ``admin`` and return its one-time password. Return None if there are accounts."""
    if session.scalar(select(func.count()).select_from(User)):
        return None
    new = NewUser(FIRST_ADMIN, Role.ADMINISTRATOR, "Administrator")
    return create_user(session, new, actor="sonogate", now=now)


def set_password(session: Session, user: User, password: str, *, actor: str, now: datetime) -> None:
    """Set a password that the user chose.

    Raises:
        AccountInvalid: it is too short or too long, contains the username or is the current one.
    """
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise AccountInvalid(
            "password",
            f"the password must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters",
        )
    if password_matches(user.password_hash, password):
        raise AccountInvalid("password", "the new password must differ from the current one")
    if user.username in password.lower():
        raise AccountInvalid("password", "the password must not contain the username")
    _store_password(user, password, one_time=False)
    _record(session, user, AuditTag.USER_PASSWORD_CHANGED, actor=actor, now=now)


def reset_password(session: Session, user: User, *, actor: str, now: datetime) -> str:
    """Set and return a one-time password. This ends all sessions and any lock of the account."""
    password = generate_one_time_password()
    _store_password(user, password, one_time=True)
    _record(session, user, AuditTag.USER_PASSWORD_RESET, actor=actor, now=now)
    return password


def change_account(
    session: Session, user: User, new: NewUser, *, actor: str, now: datetime
) -> None:
    """Set role, names and organization. The username does not change.

    Raises:
        AccountInvalid: a name is malformed, a radiologist has no organization, or this is the last
            active administrator.
    """
    _check_names(user.username, new)
    if new.role is not Role.ADMINISTRATOR:
        _check_not_last_administrator(session, user)
    user.role = new.role
    user.display_name = new.display_name.strip() or user.username
    user.dicom_name = new.dicom_name.strip() or user.display_name
    user.organization = new.organization.strip()
    _record(session, user, AuditTag.USER_CHANGED, actor=actor, now=now, role=user.role)


def set_active(session: Session, user: User, active: bool, *, actor: str, now: datetime) -> None:
    """Activate or deactivate an account.

    Raises:
        AccountInvalid: this is the last active administrator.
    """
    if not active:
        _check_not_last_administrator(session, user)
    user.active = active
    tag = AuditTag.USER_ACTIVATED if active else AuditTag.USER_DEACTIVATED
    _record(session, user, tag, actor=actor, now=now)


def list_users(session: Session) -> Sequence[User]:
    return session.scalars(select(User).order_by(User.username)).all()


def find_user(session: Session, username: str) -> User | None:
    return session.scalar(select(User).where(User.username == username.strip().lower()))


def get_user(session: Session, username: str) -> User:
    """Return the account. Raises: UnknownUser."""
    user = find_user(session, username)
    if user is None:
        raise UnknownUser(username)
    return user


# ------------------------------------------------------------------------------ login


@dataclass(frozen=True)
class LoginAttempt:
    """The account to log in to. ``user_id`` is None for an unknown username."""

    user_id: UUID | None
    password_hash: str
    locked: bool


def verify_login(database: Database, username: str, password: str, now: datetime) -> User | None:
    """Return the user, or None if the password is wrong or the account unknown or not usable.

    Takes the database instead of a session, because no transaction may be open during the slow
    password hashing. An unknown username takes the same time as a wrong password.
    """
    with database.read() as session:
        attempt = begin_login(session, username, now)
    matched = password_matches(attempt.password_hash, password[:MAX_PASSWORD_LENGTH])
    if attempt.locked or attempt.user_id is None:
        return None
    with database.write() as session:
        return finish_login(session, attempt.user_id, matched, now)


def begin_login(session: Session, username: str, now: datetime) -> LoginAttempt:
    user = find_user(session, username)
    if user is None:
        return LoginAttempt(None, _dummy_hash(), locked=False)
    return LoginAttempt(user.id, user.password_hash, locked=_is_locked(user, now))


def finish_login(session: Session, user_id: UUID, matched: bool, now: datetime) -> User | None:
    """Count a wrong password, or return the user if the account is still active and not locked."""
    user = session.get_one(User, user_id, with_for_update=True)
    if _is_locked(user, now) or not user.active:
        return None
    if not matched:
        user.failed_logins += 1
        failures = user.failed_logins - FAILURES_WITHOUT_LOCK
        if failures > 0:
            lock = FIRST_LOCK * 2 ** min(failures - 1, 10)
            user.locked_until = now + min(lock, LONGEST_LOCK)
        _record(session, user, AuditTag.USER_LOGIN_FAILED, actor=actor(user.username), now=now)
        return None
    user.failed_logins, user.locked_until = 0, None
    return user


def hash_password(password: str) -> str:
    """Return an argon2id hash with its parameters and salt."""
    return _HASHER.hash(password)


def password_matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def password_fingerprint(user: User) -> str:
    """Return a value that changes with the password, to end sessions with an older one."""
    return hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]


def generate_one_time_password() -> str:
    """Return about 99 random bits as groups of letters that are easy to dictate."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"  # without letters that look alike
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def _is_locked(user: User, now: datetime) -> bool:
    return user.locked_until is not None and user.locked_until > now


@cache
def _dummy_hash() -> str:
    return hash_password(secrets.token_hex())


def _store_password(user: User, password: str, *, one_time: bool) -> None:
    user.password_hash = hash_password(password)
    user.must_change_password = one_time
    user.failed_logins, user.locked_until = 0, None


def _check_names(username: str, new: NewUser) -> None:
    if not _USERNAME.fullmatch(username):
        raise AccountInvalid(
            "username",
            "the username must have 2 to 40 characters: lowercase letters, digits, dots, dashes or _",
        )
    for field in ("display_name", "dicom_name", "organization"):
        text: str = getattr(new, field)
        if len(text) > _MAX_NAME_LENGTH or "\\" in text or not text.isprintable():
            raise AccountInvalid(
                field,
                f"the {field.replace('_', ' ')} must have at most {_MAX_NAME_LENGTH} printable"
                " characters and no backslash",
            )
    if new.role is Role.RADIOLOGIST and not new.organization.strip():
        raise AccountInvalid(
            "organization", "enter the organization for which the radiologist signs"
        )


def _check_not_last_administrator(session: Session, user: User) -> None:
    # Lock in one order, so that two administrators cannot deactivate each other at the same time.
    others = session.scalars(
        select(User)
        .where(User.role == Role.ADMINISTRATOR, User.active)
        .order_by(User.id)
        .with_for_update()
    ).all()
    if [other.id for other in others] == [user.id]:
        raise AccountInvalid("role", "this is the last active administrator: add another one first")


def _record(
    session: Session, user: User, tag: AuditTag, *, actor: str, now: datetime, **details: Any
) -> None:
    audit.append(
        session,
        tag,
        actor=actor,
        now=now,
        username=user.username,
        **details,
    )
