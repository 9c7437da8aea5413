"""/healthz and /readyz, for supervisors and load balancers."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from db import migrate
from webui.access import public
from webui.context import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@public
def live() -> ResponseReturnValue:
    return {"status": "ok"}


@blueprint.get("/readyz")
@public
def ready() -> ResponseReturnValue:
    problem = _problem()
    return ({"status": problem}, 503) if problem else {"status": "ok"}


def _problem() -> str:
    try:
        current = migrate.is_current(services().database.engine)
    except SQLAlchemyError:
        return "the database does not answer"
    return "" if current else "the database is not at this version's schema: sonogate db upgrade"
