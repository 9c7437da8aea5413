"""The signed-in user of a request, and the lifetime of a session."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import flask_login
from flask import Flask, session

from db.schema import Role, User
from db.users import actor, password_fingerprint
from webui.context import app_context, now, reader

_STARTED, _ACTIVE = "started", "active"


@dataclass(frozen=True)
class Person:
    """A signed-in user, as Flask-Login and the pages see it."""

    id: UUID
    username: str
    display_name: str
    dicom_name: str
    organization: str
    role: Role
    must_change_password: bool
    session_key: str

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        return self.session_key

    @property
    def actor(self) -> str:
        return actor(self.username)

    @property
    def may_sign(self) -> bool:
        return self.role is Role.RADIOLOGIST


def install(app: Flask) -> None:
    manager = flask_login.LoginManager(app)
    manager.session_protection = "strong"  # a cookie copied to another browser is not accepted
    manager.user_loader(load_person)


def load_person(session_key: str) -> Person | None:
    """Return the user that a session names; None if the account or its password has changed."""
    user_id, _, known_fingerprint = session_key.partition(":")
    user = reader().get(User, UUID(user_id))
    if user is None or not user.active or password_fingerprint(user) != known_fingerprint:
        return None
    return _to_person(user)


def current_person() -> Person | None:
    current: Any = flask_login.current_user
    return current._get_current_object() if current.is_authenticated else None


def person() -> Person:
    """Return the signed-in user; only for views behind ``access.allow``."""
    current = current_person()
    assert current is not None
    return current


def sign_in(user: User) -> None:
    """Start a session that keeps nothing of the previous one."""
    session.clear()
    flask_login.login_user(_to_person(user))
    session[_STARTED] = session[_ACTIVE] = now().timestamp()


def sign_out() -> None:
    flask_login.logout_user()
    session.clear()


def extend_session() -> None:
    """Record user activity, which restarts the idle time."""
    if _STARTED in session:
        session[_ACTIVE] = int(now().timestamp())


def end_expired_session() -> None:
    if _STARTED not in session:
        return
    settings, seconds = app_context().settings, now().timestamp()
    idle = timedelta(seconds=seconds - session[_ACTIVE])
    age = timedelta(seconds=seconds - session[_STARTED])
    if idle > timedelta(minutes=settings.session_idle_minutes) or age > timedelta(
        hours=settings.session_lifetime_hours
    ):
        sign_out()


def _to_person(user: User) -> Person:
    return Person(
        user.id,
        user.username,
        user.display_name,
        user.dicom_name,
        user.organization,
        user.role,
        user.must_change_password,
        f"{user.id}:{password_fingerprint(user)}",
    )
