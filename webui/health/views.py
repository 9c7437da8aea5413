"""/healthz and /readyz, for supervisors and load balancers."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from webui.access import public
from webui.context import app_context

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def live() -> ResponseReturnValue:
    return {"status": "ok"}


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
