"""/admin: for administrators."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from db import dead_letters, peer_statistics, users
from db.schema import Role
from webui.access import allow
from webui.context import now, reader, writer
from webui.identity import person

blueprint = Blueprint("admin", __name__, template_folder="templates")


@blueprint.get("/admin/problems")
@allow(Role.ADMINISTRATOR)
def problems() -> ResponseReturnValue:
    return render_template("admin/problems.html", letters=dead_letters.list_dead_letters(reader()))


@blueprint.post("/admin/problems/<uuid:job_id>/retry")
@allow(Role.ADMINISTRATOR)
def retry(job_id: UUID) -> ResponseReturnValue:
    with writer() as rows:
        revived = dead_letters.retry(rows, job_id, actor=person().actor, now=now())
    flash("It starts again." if revived else "That work is not waiting here any more.")
    return redirect(url_for("admin.problems"), 303)


@blueprint.post("/admin/problems/retry")
@allow(Role.ADMINISTRATOR)
def retry_all() -> ResponseReturnValue:
    """Of all that is listed: one cause, a PACS or a preset, gives up many."""
    with writer() as rows:
        letters = dead_letters.list_dead_letters(rows)
        revived = sum(
            dead_letters.retry(rows, letter.job_id, actor=person().actor, now=now())
            for letter in letters
        )
    flash(f"{revived} of {len(letters)} start again.")
    return redirect(url_for("admin.problems"), 303)


@blueprint.get("/admin/senders")
@allow(Role.ADMINISTRATOR)
def senders() -> ResponseReturnValue:
    return render_template(
        "admin/senders.html", senders=peer_statistics.load_sender_statistics(reader())
    )


@blueprint.get("/admin/destinations")
@allow(Role.ADMINISTRATOR)
def destinations() -> ResponseReturnValue:
    found = peer_statistics.load_destination_statistics(reader())
    return render_template("admin/destinations.html", destinations=found)


@blueprint.get("/admin/users")
@allow(Role.ADMINISTRATOR)
def people() -> ResponseReturnValue:
    return _people()


@blueprint.post("/admin/users")
@allow(Role.ADMINISTRATOR)
def add_person() -> ResponseReturnValue:
    new = _entered(request.form.get("username", ""))
    with writer() as rows:
        password = users.create_user(rows, new, actor=person().actor, now=now())
    return _people(new.username.strip().lower(), password)


@blueprint.post("/admin/users/<username>")
@allow(Role.ADMINISTRATOR)
def change_person(username: str) -> ResponseReturnValue:
    with writer() as rows:
        user = users.get_user(rows, username)
        new = _entered(user.username)
        users.change_account(rows, user, new, actor=person().actor, now=now())
    flash(f"{username} is changed.")
    return redirect(url_for("admin.people"), 303)


@blueprint.post("/admin/users/<username>/password")
@allow(Role.ADMINISTRATOR)
def reset_password(username: str) -> ResponseReturnValue:
    with writer() as rows:
        user = users.get_user(rows, username)
        password = users.reset_password(rows, user, actor=person().actor, now=now())
    return _people(user.username, password)


@blueprint.post("/admin/users/<username>/active")
@allow(Role.ADMINISTRATOR)
def set_active(username: str) -> ResponseReturnValue:
    active = request.form.get("active") == "yes"
    with writer() as rows:
        user = users.get_user(rows, username)
        users.set_active(rows, user, active, actor=person().actor, now=now())
    flash(f"{username} may {'sign in' if active else 'not sign in any more'}.")
    return redirect(url_for("admin.people"), 303)


def _people(username: str = "", password: str = "") -> str:
    """The list; a one-time password is in this answer only and nowhere else."""
    return render_template(
        "admin/people.html",
        users=users.list_users(reader()),
        roles=Role,
        username=username,
        password=password,
    )


def _entered(username: str) -> users.NewUser:
    form = request.form
    try:
        role = Role(form.get("role", ""))
    except ValueError:
        raise BadRequest from None
    return users.NewUser(
        username,
        role,
        form.get("display_name", ""),
        form.get("dicom_name", ""),
        form.get("organization", ""),
    )
