"""/audit: for auditors and administrators."""

from collections.abc import Iterator

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from db import audit, shadows
from db.audit_tags import AuditTag
from db.engine import Database
from db.events import EventFilter, iter_events, list_actors, list_tags, load_events
from db.schema import Role
from webui.access import allow
from webui.audit import export
from webui.audit.query import Query, parse
from webui.context import now, reader, services, writer
from webui.identity import person

blueprint = Blueprint("audit", __name__, template_folder="templates")
AUDITORS = (Role.AUDITOR, Role.ADMINISTRATOR)
_FORMATS = {"csv": (export.csv_lines, "text/csv"), "jsonl": (export.jsonl, "application/jsonl")}


@blueprint.get("/audit")
@allow(*AUDITORS)
def index() -> ResponseReturnValue:
    return _page(parse(request.args))


@blueprint.post("/audit/verify")
@allow(*AUDITORS)
def verify() -> ResponseReturnValue:
    """Walk the whole chain; that this was done is itself an event."""
    verdict = audit.verify(reader(), request.form.get("anchor", "").strip())
    with writer() as rows:
        audit.append(
            rows,
            AuditTag.AUDIT_VERIFIED,
            actor=person().actor,
            now=now(),
            intact=verdict.intact,
            events=verdict.events,
        )
    return _page(parse(request.args), verdict)


@blueprint.post("/audit/export")
@allow(*AUDITORS)
def download() -> ResponseReturnValue:
    kind = request.form.get("format", "")
    if kind not in _FORMATS:
        abort(400)
    query = parse(request.args)
    with writer() as rows:
        audit.append(
            rows, AuditTag.AUDIT_EXPORTED, actor=person().actor, now=now(), filter=query.arguments
        )
    response = Response(
        _stream(services().database, query.wanted, kind), mimetype=_FORMATS[kind][1]
    )
    name = f"sonogate-audit-{now():%Y%m%d-%H%M}.{kind}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.get("/audit/shadow")
@allow(*AUDITORS)
def shadow() -> ResponseReturnValue:
    """How a second preset compares with the active one: for deciding whether to switch."""
    return render_template("audit/shadow.html", report=shadows.load_report(reader()))


def _page(query: Query, verdict: audit.AuditVerification | None = None) -> str:
    size = services().settings.page_size
    return render_template(
        "audit/index.html",
        query=query,
        page=load_events(reader(), query.wanted, number=query.number, size=size),
        tags=list_tags(reader()),
        actors=list_actors(reader()),
        verdict=verdict,
    )


def _stream(database: Database, wanted: EventFilter, kind: str) -> Iterator[str]:
    """Runs after the request's own session is closed, so it opens one."""
    write, _ = _FORMATS[kind]
    with database.read() as session:
        yield from write(iter_events(session, wanted))
