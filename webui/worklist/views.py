"""/worklist: the page, its live rows, and the search, whose text is not in the address."""

import hashlib

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from db import audit
from db.audit_tags import AuditTag
from db.schema import StudyStatus
from db.worklist import DeliveryState, ReviewState, WorklistPage, load_page
from webui.access import ANY_ROLE, allow, background
from webui.context import app_context, now, reader, writer
from webui.identity import person
from webui.worklist.query import CHOICES, MAX_TEXT_LENGTH, WorklistQuery, parse_query

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
    query = _request_query()
    return render_template(
        "worklist/index.html",
        query=query,
        rows=_render_rows(query, _load_page(query)),
        text=query.wanted.text,
        statuses=StudyStatus,
        labels=CHOICES,
        reviews=ReviewState,
        deliveries=DeliveryState,
    )


@blueprint.get("/worklist/rows")
@allow(*ANY_ROLE)
@background
def rows() -> ResponseReturnValue:
    """Return the rows, or 204 if the browser shows them already."""
    query = _request_query()
    page = _load_page(query)
    if request.args.get("seen") == _digest(page):
        return "", 204
    return _render_rows(query, page)


@blueprint.post("/worklist/search")
@allow(*ANY_ROLE)
def search() -> ResponseReturnValue:
    entered = "" if "clear" in request.form else request.form.get("text", "")
    text = " ".join(entered[:MAX_TEXT_LENGTH].split())
    session[_SEARCH] = text
    if text:
        with writer() as transaction:
            audit.append(transaction, AuditTag.WORKLIST_SEARCHED, actor=person().actor, now=now())
    return redirect(url_for("worklist.index", **_request_query().at_page(1)), 303)


def _request_query() -> WorklistQuery:
    option = app_context().settings.suspicion_first
    return parse_query(request.args, session.get(_SEARCH, ""), suspicion_first=option)


def _load_page(query: WorklistQuery) -> WorklistPage:
    size = app_context().settings.page_size
    return load_page(reader(), query.wanted, query.order, number=query.number, size=size)


def _render_rows(query: WorklistQuery, page: WorklistPage) -> str:
    return render_template("worklist/_rows.html", query=query, page=page, digest=_digest(page))


def _digest(page: WorklistPage) -> str:
    return hashlib.sha256(repr(page).encode()).hexdigest()[:16]
