"""/worklist: the page, its live rows, and the search that stays out of the address."""

import hashlib

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from db import audit
from db.audit_tags import AuditTag
from db.schema import StudyStatus
from db.worklist import DeliveryState, Page, ReviewState, load_page
from webui.access import ANY_ROLE, allow, background
from webui.context import now, reader, services, writer
from webui.identity import person
from webui.worklist.query import CHOICES, MAX_TEXT_LENGTH, Query, parse

blueprint = Blueprint(
    "worklist",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/worklist",
)
_SEARCH = "search"


@blueprint.get("/")
@allow(*ANY_ROLE)
def home() -> ResponseReturnValue:
    return redirect(url_for("worklist.index"))


@blueprint.get("/worklist")
@allow(*ANY_ROLE)
def index() -> ResponseReturnValue:
    query = _query()
    return render_template(
        "worklist/index.html",
        query=query,
        rows=_rows(query, _page(query)),
        text=query.wanted.text,
        statuses=StudyStatus,
        labels=CHOICES,
        reviews=ReviewState,
        deliveries=DeliveryState,
    )


@blueprint.get("/worklist/rows")
@allow(*ANY_ROLE)
@background
def live() -> ResponseReturnValue:
    """The rows again, or 204 when they are the ones that the browser shows."""
    query = _query()
    page = _page(query)
    if request.args.get("seen") == _digest(page):
        return "", 204
    return _rows(query, page)


@blueprint.post("/worklist/search")
@allow(*ANY_ROLE)
def search() -> ResponseReturnValue:
    given = "" if "clear" in request.form else request.form.get("text", "")
    text = " ".join(given[:MAX_TEXT_LENGTH].split())
    session[_SEARCH] = text
    if text:
        with writer() as rows:
            audit.append(rows, AuditTag.WORKLIST_SEARCHED, actor=person().actor, now=now())
    return redirect(url_for("worklist.index", **_query().at_page(1)), 303)


def _query() -> Query:
    option = services().settings.suspicion_first
    return parse(request.args, session.get(_SEARCH, ""), suspicion_first=option)


def _page(query: Query) -> Page:
    size = services().settings.page_size
    return load_page(reader(), query.wanted, query.order, number=query.number, size=size)


def _rows(query: Query, page: Page) -> str:
    return render_template("worklist/_rows.html", query=query, page=page, digest=_digest(page))


def _digest(page: Page) -> str:
    return hashlib.sha256(repr(page).encode()).hexdigest()[:16]
