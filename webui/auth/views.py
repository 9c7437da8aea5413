"""/login, /logout, /account."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from db import audit, users
from db.audit_tags import AuditTag
from db.schema import User
from webui import identity
from webui.access import ANY_ROLE, allow, before_password_change, public
from webui.context import app_context, now, writer

blueprint = Blueprint("auth", __name__, template_folder="templates")

# The same text for every cause, so that it does not reveal which usernames exist.
_LOGIN_FAILED = (
    "Incorrect username or password. Repeated failures lock the account for several minutes."
)


@blueprint.get("/login")
@public
def login() -> ResponseReturnValue:
    if identity.current_person():
        return redirect(url_for("worklist.index"))
    return render_template("auth/login.html")


@blueprint.post("/login")
@public
def sign_in() -> ResponseReturnValue:
    username = request.form.get("username", "")
    user = users.verify_login(
        app_context().database, username, request.form.get("password", ""), now()
    )
    if user is None:
        return render_template("auth/login.html", username=username, problem=_LOGIN_FAILED), 401
    with writer() as session:
        audit.append(
            session,
            AuditTag.SESSION_STARTED,
            actor=users.actor(user.username),
            now=now(),
            address=request.remote_addr,
        )
    identity.sign_in(user)
    target = request.args.get("next", "")
    is_local = target.startswith("/") and not target.startswith(("//", "/\\"))
    return redirect(target if is_local else url_for("worklist.index"), 303)


@blueprint.post("/logout")
@allow(*ANY_ROLE)
@before_password_change
def sign_out() -> ResponseReturnValue:
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
def update_password() -> ResponseReturnValue:
    person, form = identity.person(), request.form
    if form.get("new", "") != form.get("again", ""):
        return _password_page("The new passwords do not match.")
    old = form.get("old", "")
    user = users.verify_login(app_context().database, person.username, old, now())
    if user is None:
        return _password_page("The current password is incorrect.")
    try:
        with writer() as session:
            changed = session.get_one(User, user.id)
            users.set_password(session, changed, form["new"], actor=person.actor, now=now())
    except users.AccountInvalid as error:
        return _password_page(f"{error}.".capitalize())
    identity.sign_in(changed)  # the old session names the old password's fingerprint
    flash("Password changed.")
    return redirect(url_for("worklist.index"), 303)


def _password_page(problem: str) -> ResponseReturnValue:
    return render_template("auth/password.html", problem=problem), 422
