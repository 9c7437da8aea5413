"""Who may open what. A view without a rule cannot be registered: nothing is open by accident."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from db.schema import Role
from webui import identity

View = TypeVar("View", bound=Callable[..., Any])
ANY_ROLE = tuple(Role)
PUBLIC: frozenset[Role] = frozenset()
_ROLES, _BACKGROUND, _BEFORE_PASSWORD = "sonogate_roles", "sonogate_background", "sonogate_early"


def public(view: View) -> View:
    """Anybody who reaches the port; such a view shows nothing of a patient."""
    setattr(view, _ROLES, PUBLIC)
    return view


def allow(*roles: Role) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _ROLES, frozenset(roles))
        return view

    return mark


def background(view: View) -> View:
    """Asked for by the page itself: does not keep an unattended session alive, unless the page
    says that somebody touched it since.
    """
    setattr(view, _BACKGROUND, True)
    return view


def before_password_change(view: View) -> View:
    """Open to somebody who still has a one-time password."""
    setattr(view, _BEFORE_PASSWORD, True)
    return view


def roles_of(app: Flask, endpoint: str) -> frozenset[Role]:
    """Roles that may use an endpoint; ``PUBLIC`` (empty) stands for everybody."""
    if endpoint == "static" or endpoint.endswith(".static"):
        return PUBLIC
    roles: frozenset[Role] = getattr(app.view_functions[endpoint], _ROLES)
    return roles


def install(app: Flask) -> None:
    """Raises AttributeError for a view that has no rule."""
    for endpoint in app.view_functions:
        roles_of(app, endpoint)

    @app.before_request
    def check() -> ResponseReturnValue | None:
        return _check(app, request.endpoint) if request.endpoint else None


def _check(app: Flask, endpoint: str) -> ResponseReturnValue | None:
    roles = roles_of(app, endpoint)
    if roles is PUBLIC:
        return None
    view = app.view_functions[endpoint]
    identity.end_if_too_old()
    person = identity.current_person()
    if person is None:
        return _to_sign_in()
    if not getattr(view, _BACKGROUND, False) or request.headers.get("X-Active"):
        identity.keep_alive()
    if person.must_change_password and not getattr(view, _BEFORE_PASSWORD, False):
        return redirect(url_for("auth.change_password"), 303)
    if person.role not in roles:
        abort(403)
    return None


def _to_sign_in() -> ResponseReturnValue:
    if request.headers.get("HX-Request"):
        # A redirect would be followed by the script and end up inside the page.
        return "", 401, {"HX-Redirect": url_for("auth.login")}
    wanted = request.path if request.method == "GET" and request.path != "/" else None
    return redirect(url_for("auth.login", next=wanted), 303)
