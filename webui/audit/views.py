"""/audit: pages for auditors and administrators."""

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
from webui.audit.query import AuditQuery, parse_query
from webui.context import app_context, now, reader, writer
from webui.identity import person

blueprint = Blueprint("audit", __name__, template_folder="templates")
AUDITORS = (Role.AUDITOR, Role.ADMINISTRATOR)
_FORMATS = {
    "csv": (export.to_csv_lines, "text/csv"),
    "jsonl": (export.to_json_lines, "application/jsonl"),
}


@blueprint.get("/audit")
@allow(*AUDITORS)
def index() -> ResponseReturnValue:
    return _audit_page(parse_query(request.args))


@blueprint.post("/audit/verify")
@allow(*AUDITORS)
def verify() -> ResponseReturnValue:
    """Verify the whole hash chain, and record that as an audit event."""
    verdict = audit.verify(reader(), request.form.get("anchor", "").strip())
    with writer() as session:
        audit.append(
            session,
            AuditTag.AUDIT_VERIFIED,
            actor=person().actor,
            now=now(),
            intact=verdict.intact,
            events=verdict.events,
        )
    return _audit_page(parse_query(request.args), verdict)


@blueprint.post("/audit/export")
@allow(*AUDITORS)
def download() -> ResponseReturnValue:
    kind = request.form.get("format", "")
    if kind not in _FORMATS:
        abort(400)
    query = parse_query(request.args)
    with writer() as session:
        audit.append(
            session,
            AuditTag.AUDIT_EXPORTED,
            actor=person().actor,
            now=now(),
            filter=query.arguments,
        )
    response = Response(
        _iter_export(app_context().database, query.wanted, kind), mimetype=_FORMATS[kind][1]
    )
    name = f"sonogate-audit-{now():%Y%m%d-%H%M}.{kind}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.get("/audit/shadow")
@allow(*AUDITORS)
def shadow() -> ResponseReturnValue:
    """Compare the shadow preset with the active one, to decide whether to switch."""
    return render_template("audit/shadow.html", report=shadows.load_report(reader()))


def _audit_page(query: AuditQuery, verdict: audit.AuditVerification | None = None) -> str:
    size = app_context().settings.page_size
    return render_template(
        "audit/index.html",
        query=query,
        page=load_events(reader(), query.wanted, number=query.number, size=size),
        tags=list_tags(reader()),
        actors=list_actors(reader()),
        verdict=verdict,
    )


def _iter_export(database: Database, wanted: EventFilter, kind: str) -> Iterator[str]:
    """Yield an export. It runs after the request has closed its session, so it opens its own."""
    write, _ = _FORMATS[kind]
    with database.read() as session:
        yield from write(iter_events(session, wanted))
