"""People: accounts, passwords, and the wait after wrong ones.

A username is never reused, so that it names one person in the audit chain for ever; an account is
switched off, not deleted.
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
FREE_FAILURES = 4
"""Wrong passwords in a row before an account starts to wait."""
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=15)

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}")
_MAX_NAME_LENGTH = 64
_HASHER = PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory


class AccountInvalid(DbError):
    """``field`` names what was wrong with an account or password; the text says what to do."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(problem)


class UnknownUser(DbError):
    def __init__(self, username: str) -> None:
        super().__init__(f"there is no user {username!r}")


@dataclass(frozen=True)
class NewUser:
    """What is asked of a new account.

    ``dicom_name``, a PN, ``Family^Given``, and ``organization`` sign results.
    """

    username: str
    role: Role
    display_name: str = ""
    dicom_name: str = ""
    organization: str = ""


def actor(username: str) -> str:
    """How a person is named in the audit chain; programs stand there without the prefix."""
    return f"user:{username}"


def create_user(session: Session, new: NewUser, *, actor: str, now: datetime) -> str:
    """Add an account; returns its one-time password, which must be changed at the first login.

    Raises:
        AccountInvalid: a name is malformed or taken, or a radiologist has no organization.
    """
    username = new.username.strip().lower()
    _check_names(username, new)
    if find_user(session, username) is not None:
        raise AccountInvalid("username", f"the username {username!r} is taken")
    password = one_time_password()
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
    """Create ``admin`` in a database without people; its one-time password, or None if not needed."""
    if session.scalar(select(func.count()).select_from(User)):
        return None
    new = NewUser(FIRST_ADMIN, Role.ADMINISTRATOR, "Administrator")
    return create_user(session, new, actor="sonogate", now=now)


def set_password(session: Session, user: User, password: str, *, actor: str, now: datetime) -> None:
    """A password that the person chose.

    Raises:
        AccountInvalid: too short, too long, or the one in use.
    """
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise AccountInvalid(
            "password",
            f"a password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters",
        )
    if password_matches(user.password_hash, password):
        raise AccountInvalid("password", "the new password must differ from the one in use")
    if user.username in password.lower():
        raise AccountInvalid("password", "a password must not contain the username")
    _store_password(user, password, one_time=False)
    _record(session, user, AuditTag.USER_PASSWORD_CHANGED, actor=actor, now=now)


def reset_password(session: Session, user: User, *, actor: str, now: datetime) -> str:
    """Replace a lost password by a one-time one, which is returned; ends every session and wait."""
    password = one_time_password()
    _store_password(user, password, one_time=True)
    _record(session, user, AuditTag.USER_PASSWORD_RESET, actor=actor, now=now)
    return password


def change_account(
    session: Session, user: User, new: NewUser, *, actor: str, now: datetime
) -> None:
    """Set role and names; the username stays.

    Raises:
        AccountInvalid: a name is malformed, a radiologist has no organization, or nobody would be
            left to administer.
    """
    _check_names(user.username, new)
    if new.role is not Role.ADMINISTRATOR:
        _keep_an_administrator(session, user)
    user.role = new.role
    user.display_name = new.display_name.strip() or user.username
    user.dicom_name = new.dicom_name.strip() or user.display_name
    user.organization = new.organization.strip()
    _record(session, user, AuditTag.USER_CHANGED, actor=actor, now=now, role=user.role)


def set_active(session: Session, user: User, active: bool, *, actor: str, now: datetime) -> None:
    """Switch an account on or off.

    Raises:
        AccountInvalid: it is the last active administrator.
    """
    if not active:
        _keep_an_administrator(session, user)
    user.active = active
    tag = AuditTag.USER_ACTIVATED if active else AuditTag.USER_DEACTIVATED
    _record(session, user, tag, actor=actor, now=now)


def list_users(session: Session) -> Sequence[User]:
    return session.scalars(select(User).order_by(User.username)).all()


def find_user(session: Session, username: str) -> User | None:
    return session.scalar(select(User).where(User.username == username.strip().lower()))


def get_user(session: Session, username: str) -> User:
    """Raises UnknownUser."""
    user = find_user(session, username)
    if user is None:
        raise UnknownUser(username)
    return user


# ------------------------------------------------------------------------------ logging in


@dataclass(frozen=True)
class Attempt:
    """A login that has begun. ``user_id`` is None for a name that nobody has."""

    user_id: UUID | None
    password_hash: str
    waiting: bool


def verify_login(database: Database, username: str, password: str, now: datetime) -> User | None:
    """The user whose password this is; None: wrong, unknown, switched off or waiting.

    Takes the database, not a session: hashing is slow by design, and between two transactions it
    keeps nobody from writing. An unknown name costs the same time as a wrong password.
    """
    with database.read() as session:
        attempt = begin_login(session, username, now)
    matched = password_matches(attempt.password_hash, password[:MAX_PASSWORD_LENGTH])
    if attempt.waiting or attempt.user_id is None:
        return None
    with database.write() as session:
        return finish_login(session, attempt.user_id, matched, now)


def begin_login(session: Session, username: str, now: datetime) -> Attempt:
    user = find_user(session, username)
    if user is None:
        return Attempt(None, _hash_of_nothing(), waiting=False)
    return Attempt(user.id, user.password_hash, waiting=_waits(user, now))


def finish_login(session: Session, user_id: UUID, matched: bool, now: datetime) -> User | None:
    """Count a wrong password, or let the user in; looks again whether the account waits by now."""
    user = session.get_one(User, user_id, with_for_update=True)
    if _waits(user, now) or not user.active:
        return None
    if not matched:
        _count_failure(session, user, now)
        return None
    user.failed_logins, user.locked_until = 0, None
    return user


def hash_password(password: str) -> str:
    """argon2id, with its parameters and salt in the text."""
    return _HASHER.hash(password)


def password_matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def fingerprint(user: User) -> str:
    """Changes with the password: a session that holds an older one is over."""
    return hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]


def one_time_password() -> str:
    """Some 95 random bits, in groups that can be read out over a telephone."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def _waits(user: User, now: datetime) -> bool:
    return user.locked_until is not None and user.locked_until > now


def _count_failure(session: Session, user: User, now: datetime) -> None:
    user.failed_logins += 1
    beyond = user.failed_logins - FREE_FAILURES
    if beyond > 0:
        user.locked_until = now + min(FIRST_WAIT * 2 ** min(beyond - 1, 10), LONGEST_WAIT)
    _record(session, user, AuditTag.USER_LOGIN_FAILED, actor=actor(user.username), now=now)


@cache
def _hash_of_nothing() -> str:
    return hash_password(secrets.token_hex())


def _store_password(user: User, password: str, *, one_time: bool) -> None:
    user.password_hash = hash_password(password)
    user.must_change_password = one_time
    user.failed_logins, user.locked_until = 0, None


def _check_names(username: str, new: NewUser) -> None:
    if not _USERNAME.fullmatch(username):
        raise AccountInvalid(
            "username", "a username has 2 to 40 lower-case letters, digits, dots, dashes or _"
        )
    for field in ("display_name", "dicom_name", "organization"):
        text: str = getattr(new, field)
        if len(text) > _MAX_NAME_LENGTH or "\\" in text or not text.isprintable():
            raise AccountInvalid(
                field, f"the {field} has at most {_MAX_NAME_LENGTH} printable characters, no \\"
            )
    if new.role is Role.RADIOLOGIST and not new.organization.strip():
        raise AccountInvalid(
            "organization", "a radiologist signs for an organization: enter its name"
        )


def _keep_an_administrator(session: Session, user: User) -> None:
    # Locked in one order: of two administrators who switch each other off, one is told no.
    others = session.scalars(
        select(User)
        .where(User.role == Role.ADMINISTRATOR, User.active)
        .order_by(User.id)
        .with_for_update()
    ).all()
    if [other.id for other in others] == [user.id]:
        raise AccountInvalid("role", "this is the last active administrator")


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
