"""/admin: pages for administrators."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from db import dead_letters as queue
from db import peer_statistics, users
from db.incoming import measure_backlog
from db.schema import Role
from webui.access import allow
from webui.context import app_context, now, reader, writer
from webui.identity import person

blueprint = Blueprint("admin", __name__, template_folder="templates")


@blueprint.get("/admin/dead-letters")
@allow(Role.ADMINISTRATOR)
def dead_letters() -> ResponseReturnValue:
    context = app_context()
    backlog = measure_backlog(context.files)
    is_behind = backlog.files >= context.settings.backlog_warning_files
    return render_template(
        "admin/dead_letters.html",
        letters=queue.list_dead_letters(reader()),
        backlog=backlog.describe(now()) if is_behind else "",
    )


@blueprint.post("/admin/dead-letters/<uuid:job_id>/retry")
@allow(Role.ADMINISTRATOR)
def retry(job_id: UUID) -> ResponseReturnValue:
    with writer() as session:
        queued = queue.retry(session, job_id, actor=person().actor, now=now())
    flash("Job queued." if queued else "This job is no longer in the dead-letter queue.")
    return redirect(url_for("admin.dead_letters"), 303)


@blueprint.post("/admin/dead-letters/retry")
@allow(Role.ADMINISTRATOR)
def retry_all() -> ResponseReturnValue:
    """Retry every listed job: one cause, such as a PACS that is down, can fail many."""
    with writer() as session:
        letters = queue.list_dead_letters(session)
        queued = sum(
            queue.retry(session, letter.job_id, actor=person().actor, now=now())
            for letter in letters
        )
    flash(f"{queued} of {len(letters)} jobs queued.")
    return redirect(url_for("admin.dead_letters"), 303)


@blueprint.get("/admin/senders")
@allow(Role.ADMINISTRATOR)
def senders() -> ResponseReturnValue:
    statistics = peer_statistics.load_sender_statistics(reader())
    return render_template(
        "admin/senders.html",
        senders=statistics,
        backlog=measure_backlog(app_context().files).describe(now()),
    )


@blueprint.get("/admin/destinations")
@allow(Role.ADMINISTRATOR)
def destinations() -> ResponseReturnValue:
    statistics = peer_statistics.load_destination_statistics(reader())
    return render_template("admin/destinations.html", destinations=statistics)


@blueprint.get("/admin/users")
@allow(Role.ADMINISTRATOR)
def list_users() -> ResponseReturnValue:
    return _users_page()


@blueprint.post("/admin/users")
@allow(Role.ADMINISTRATOR)
def add_user() -> ResponseReturnValue:
    new = _parse_user(request.form.get("username", ""))
    with writer() as session:
        password = users.create_user(session, new, actor=person().actor, now=now())
    return _users_page(new.username.strip().lower(), password)


@blueprint.post("/admin/users/<username>")
@allow(Role.ADMINISTRATOR)
def update_user(username: str) -> ResponseReturnValue:
    with writer() as session:
        user = users.get_user(session, username)
        new = _parse_user(user.username)
        users.change_account(session, user, new, actor=person().actor, now=now())
    flash(f"User {username} updated.")
    return redirect(url_for("admin.list_users"), 303)


@blueprint.post("/admin/users/<username>/password")
@allow(Role.ADMINISTRATOR)
def reset_password(username: str) -> ResponseReturnValue:
    with writer() as session:
        user = users.get_user(session, username)
        password = users.reset_password(session, user, actor=person().actor, now=now())
    return _users_page(user.username, password)


@blueprint.post("/admin/users/<username>/active")
@allow(Role.ADMINISTRATOR)
def set_active(username: str) -> ResponseReturnValue:
    active = request.form.get("active") == "yes"
    with writer() as session:
        user = users.get_user(session, username)
        users.set_active(session, user, active, actor=person().actor, now=now())
    flash(f"User {username} {'activated' if active else 'deactivated'}.")
    return redirect(url_for("admin.list_users"), 303)


def _users_page(username: str = "", password: str = "") -> str:
    """Render the list of users; a one-time ``password`` appears in this response only."""
    return render_template(
        "admin/users.html",
        users=users.list_users(reader()),
        roles=Role,
        username=username,
        password=password,
    )


def _parse_user(username: str) -> users.NewUser:
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
