"""Access rules: which roles may open a page. Every view must declare its rule."""

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
    """Open a view to everyone without sign-in. It must not show patient data."""
    setattr(view, _ROLES, PUBLIC)
    return view


def allow(*roles: Role) -> Callable[[View], View]:
    """Open a view to signed-in users with one of ``roles``."""

    def mark(view: View) -> View:
        setattr(view, _ROLES, frozenset(roles))
        return view

    return mark


def background(view: View) -> View:
    """Mark a view that the page itself requests. Such a request extends the session only if the
    page reports user input since the previous one.
    """
    setattr(view, _BACKGROUND, True)
    return view


def before_password_change(view: View) -> View:
    """Open a view to users who must still replace a one-time password."""
    setattr(view, _BEFORE_PASSWORD, True)
    return view


def roles_of(app: Flask, endpoint: str) -> frozenset[Role]:
    """Return the roles that may use an endpoint; ``PUBLIC`` (empty) stands for everyone."""
    if endpoint == "static" or endpoint.endswith(".static"):
        return PUBLIC
    roles: frozenset[Role] = getattr(app.view_functions[endpoint], _ROLES)
    return roles


def install(app: Flask) -> None:
    """Check every request.

    Raises:
        AttributeError: a view has no access rule.
    """
    for endpoint in app.view_functions:
        roles_of(app, endpoint)

    @app.before_request
    def check() -> ResponseReturnValue | None:
        if request.endpoint is None or roles_of(app, request.endpoint) is PUBLIC:
            return None
        return check_access(app, request.endpoint)


def check_access(app: Flask, endpoint: str) -> ResponseReturnValue | None:
    """Return a redirect for a user who cannot continue, None for one who can.

    Raises:
        Forbidden: the user's role may not use the endpoint.
    """
    view = app.view_functions[endpoint]
    identity.end_expired_session()
    person = identity.current_person()
    if person is None:
        return _redirect_to_login()
    if not getattr(view, _BACKGROUND, False) or request.headers.get("X-Active"):
        identity.extend_session()
    if person.must_change_password and not getattr(view, _BEFORE_PASSWORD, False):
        return redirect(url_for("auth.change_password"), 303)
    if person.role not in roles_of(app, endpoint):
        abort(403)
    return None


def _redirect_to_login() -> ResponseReturnValue:
    if request.headers.get("HX-Request"):
        # htmx would follow a redirect and put the login form inside the page.
        return "", 401, {"HX-Redirect": url_for("auth.login")}
    target = request.path if request.method == "GET" and request.path != "/" else None
    return redirect(url_for("auth.login", next=target), 303)
