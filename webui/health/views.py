"""/healthz and /readyz, for supervisors and load balancers."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from db.incoming import measure_backlog
from webui.access import public
from webui.context import app_context, now

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def live() -> ResponseReturnValue:
    return {"status": "ok", "backlog": _describe_backlog()}


def _describe_backlog() -> dict[str, float] | None:
    """Return how many received files wait for the indexer, and the age of the oldest one."""
    try:
        backlog = measure_backlog(app_context().files)
    except OSError:
        return None
    return {"files": backlog.files, "oldest_seconds": round(backlog.oldest_seconds(now()), 1)}


@blueprint.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    try:
        current = migrate.is_current(app_context().database.engine)
    except SQLAlchemyError:
        return {"status": "the database is unavailable"}, 503
    if not current:
        return {"status": "the database schema is out of date: run sonogate db upgrade"}, 503
    return {"status": "ok"}
