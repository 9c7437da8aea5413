"""/login, /logout, /account."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from db import audit, users
from db.audit_tags import AuditTag
from db.schema import User
from webui import identity
from webui.access import ANY_ROLE, allow, before_password_change, public
from webui.context import now, services, writer

blueprint = Blueprint("auth", __name__, template_folder="templates")

# One text for every cause: it must not tell who has an account here.
_REFUSED = (
    "Username and password do not fit. After several failures an account waits"
    " before it takes the next try."
)


@blueprint.get("/login")
@public
def login() -> ResponseReturnValue:
    if identity.current_person():
        return redirect(url_for("worklist.index"))
    return render_template("auth/login.html")


@blueprint.post("/login")
@public
def enter() -> ResponseReturnValue:
    username = request.form.get("username", "")
    user = users.verify_login(
        services().database, username, request.form.get("password", ""), now()
    )
    if user is None:
        return render_template("auth/login.html", username=username, problem=_REFUSED), 401
    with writer() as session:
        _record(session, AuditTag.SESSION_STARTED, user)
    identity.sign_in(user)
    return redirect(_next_page(), 303)


@blueprint.post("/logout")
@allow(*ANY_ROLE)
@before_password_change
def leave() -> ResponseReturnValue:
    with writer() as session:
        audit.append(session, AuditTag.SESSION_ENDED, actor=identity.person().actor, now=now())
    identity.sign_out()
    return redirect(url_for("auth.login"), 303)


@blueprint.get("/account")
@allow(*ANY_ROLE)
def account() -> ResponseReturnValue:
    return render_template("auth/account.html")


@blueprint.get("/account/password")
@allow(*ANY_ROLE)
@before_password_change
def change_password() -> ResponseReturnValue:
    return render_template("auth/password.html")


@blueprint.post("/account/password")
@allow(*ANY_ROLE)
@before_password_change
def store_password() -> ResponseReturnValue:
    person, form = identity.person(), request.form
    if form.get("new", "") != form.get("again", ""):
        return _password_problem("The two new passwords differ.")
    old = form.get("old", "")
    user = users.verify_login(services().database, person.username, old, now())
    if user is None:
        return _password_problem("The password in use is not the one you gave.")
    try:
        with writer() as session:
            changed = session.get_one(User, user.id)
            users.set_password(session, changed, form["new"], actor=person.actor, now=now())
    except users.AccountInvalid as error:
        return _password_problem(f"{error}.".capitalize())
    identity.sign_in(changed)  # the session held the old password's fingerprint
    flash("Your password is changed.")
    return redirect(url_for("worklist.index"), 303)


def _password_problem(problem: str) -> ResponseReturnValue:
    return render_template("auth/password.html", problem=problem), 422


def _record(session: Session, tag: AuditTag, user: User) -> None:
    audit.append(
        session, tag, actor=users.actor(user.username), now=now(), address=request.remote_addr
    )


def _next_page() -> str:
    """Where the person wanted to go, if that is a page of ours."""
    target = request.args.get("next", "")
    ours = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if ours else url_for("worklist.index")
