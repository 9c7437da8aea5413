"""Who is asking: the signed-in user of a request, and how long a sign-in lasts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import flask_login
from flask import Flask, session

from db.schema import Role, User
from db.users import actor, fingerprint
from webui.context import now, reader, services

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
    manager.session_protection = "strong"  # a cookie carried to another browser is worth nothing
    manager.user_loader(_load)


def current_person() -> Person | None:
    found: Any = flask_login.current_user
    return found._get_current_object() if found.is_authenticated else None


def person() -> Person:
    """The signed-in user; only for views behind ``access.allow``."""
    found = current_person()
    assert found is not None
    return found


def sign_in(user: User) -> None:
    """Start a session that shares nothing with the one before."""
    session.clear()
    flask_login.login_user(_person(user))
    session[_STARTED] = session[_ACTIVE] = now().timestamp()


def sign_out() -> None:
    flask_login.logout_user()
    session.clear()


def keep_alive() -> None:
    """A person did something. Refreshes by the page itself do not count."""
    if _STARTED in session:
        session[_ACTIVE] = int(now().timestamp())


def end_if_too_old() -> None:
    if _STARTED in session and _is_too_old(now()):
        sign_out()


def _is_too_old(moment: datetime) -> bool:
    settings = services().settings
    idle = moment.timestamp() - session[_ACTIVE]
    age = moment.timestamp() - session[_STARTED]
    too_idle = idle > timedelta(minutes=settings.session_idle_minutes).total_seconds()
    return bool(too_idle or age > timedelta(hours=settings.session_lifetime_hours).total_seconds())


def _load(session_key: str) -> Person | None:
    user_id, _, seen = session_key.partition(":")
    user = reader().get(User, UUID(user_id))
    if user is None or not user.active or fingerprint(user) != seen:
        return None
    return _person(user)


def _person(user: User) -> Person:
    return Person(
        user.id,
        user.username,
        user.display_name,
        user.dicom_name,
        user.organization,
        user.role,
        user.must_change_password,
        f"{user.id}:{fingerprint(user)}",
    )
