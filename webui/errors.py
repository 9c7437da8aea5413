"""Errors as pages: what happened and what to do, never a stack trace or a patient's data."""

import logging
import secrets

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import NoResultFound, OperationalError
from werkzeug.exceptions import HTTPException

from db.errors import DbError, SignedReviewIsFinal
from db.reviews import (
    AlreadySigned,
    DraftChanged,
    MayNotReview,
    NoOrganization,
    ReviewInvalid,
    Superseded,
)
from db.users import AccountInvalid, UnknownUser
from dicom.errors import DicomError

_LOG = logging.getLogger(__name__)
_STATUS: dict[type[DbError], int] = {
    AccountInvalid: 422,
    AlreadySigned: 409,
    DraftChanged: 409,
    MayNotReview: 403,
    NoOrganization: 409,
    ReviewInvalid: 422,
    SignedReviewIsFinal: 409,
    Superseded: 409,
    UnknownUser: 404,
}
_SAYS = {
    400: "The request could not be understood.",
    403: "Your role does not open this page.",
    404: "There is nothing here.",
    405: "This address does not take that kind of request.",
    413: "That is too much at once.",
}


def install(app: Flask) -> None:
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(NoResultFound, _not_found)
    app.register_error_handler(DbError, _refused)
    app.register_error_handler(DicomError, _unreadable)
    app.register_error_handler(OperationalError, _no_database)
    app.register_error_handler(Exception, _unexpected)


def _page(status: int, text: str, code: str = "") -> ResponseReturnValue:
    if request.headers.get("HX-Request"):
        return text, status, {"Content-Type": "text/plain; charset=utf-8"}
    return render_template("error.html", status=status, text=text, code=code), status


def _http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if 300 <= status < 400:
        return error.get_response()
    return _page(status, _SAYS.get(status, error.name))


def _stale_form(_error: CSRFError) -> ResponseReturnValue:
    return _page(400, "This form is older than your session. Open the page again and repeat it.")


def _not_found(_error: NoResultFound) -> ResponseReturnValue:
    return _page(404, _SAYS[404])


def _refused(error: DbError) -> ResponseReturnValue:
    return _page(_STATUS.get(type(error), 409), _sentence(str(error)))


def _unreadable(error: DicomError) -> ResponseReturnValue:
    return _page(422, str(error), error.code)


def _no_database(error: OperationalError) -> ResponseReturnValue:
    _LOG.error("the database does not answer: %s", type(error.orig).__name__)
    return _page(503, "The database does not answer. Nothing was changed. Try again in a moment.")


def _unexpected(error: Exception) -> ResponseReturnValue:
    # The message of an exception may quote a value, so the log gets its type and place only.
    incident = secrets.token_hex(4)
    _LOG.error("incident %s: %s at %s", incident, type(error).__name__, _place(error))
    return _page(500, f"Something failed here. The log names it incident {incident}.")


def _place(error: Exception) -> str:
    trace, places = error.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-6:])


def _sentence(text: str) -> str:
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith(".") else f"{whole}."
