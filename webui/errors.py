"""Error pages: what happened and what to do, without stack traces or patient data."""

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
_HTTP_TEXTS = {
    400: "The server could not process this request. Reload the page and try again.",
    403: "Your role does not have access to this page.",
    404: "This page does not exist.",
    405: "This address does not support this request method.",
    413: "The request is too large.",
}
_HEADINGS = {
    403: "Access denied",
    404: "Not found",
    413: "Request too large",
    422: "Check your entries",
    503: "Service unavailable",
}
_DATABASE_ERRORS: dict[type[DbError], tuple[int, str]] = {
    AccountInvalid: (422, "Account not saved"),
    AlreadySigned: (409, "Already signed"),
    DraftChanged: (409, "Out of date: reload"),
    MayNotReview: (403, "Access denied"),
    NoOrganization: (409, "Organization missing"),
    ReviewInvalid: (422, "Review not saved"),
    SignedReviewIsFinal: (409, "Already signed"),
    Superseded: (409, "Out of date: reload"),
    UnknownUser: (404, "User not found"),
}
"""HTTP status and heading of each error."""


def install(app: Flask) -> None:
    app.register_error_handler(CSRFError, handle_csrf_error)
    app.register_error_handler(HTTPException, handle_http_error)
    app.register_error_handler(NoResultFound, handle_missing_row)
    app.register_error_handler(DbError, handle_database_error)
    app.register_error_handler(DicomError, handle_dicom_error)
    app.register_error_handler(OperationalError, handle_unavailable_database)
    app.register_error_handler(Exception, handle_unexpected_error)


def handle_csrf_error(_error: CSRFError) -> ResponseReturnValue:
    return _error_page(400, "This form has expired. Reload the page and submit the form again.")


def handle_http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if 300 <= status < 400:
        return error.get_response()
    return _error_page(status, _HTTP_TEXTS.get(status, error.name))


def handle_missing_row(_error: NoResultFound) -> ResponseReturnValue:
    return _error_page(404, _HTTP_TEXTS[404])


def handle_database_error(error: DbError) -> ResponseReturnValue:
    status, heading = _DATABASE_ERRORS.get(type(error), (409, "Not saved"))
    text = str(error)
    sentence = text[:1].upper() + text[1:]
    return _error_page(status, sentence if sentence.endswith(".") else f"{sentence}.", heading)


def handle_dicom_error(error: DicomError) -> ResponseReturnValue:
    return _error_page(422, str(error), "Image cannot be displayed", error.code)


def handle_unavailable_database(error: OperationalError) -> ResponseReturnValue:
    _LOG.error("the database is unavailable: %s", type(error.orig).__name__)
    return _error_page(
        503, "The database is unavailable. No changes were saved. Try again in a few minutes."
    )


def handle_unexpected_error(error: Exception) -> ResponseReturnValue:
    # The message of an exception may quote patient data: the log gets its type and location only.
    incident = secrets.token_hex(4)
    _LOG.error("incident %s: %s at %s", incident, type(error).__name__, _location(error))
    return _error_page(500, f"An internal error occurred. The log lists it as incident {incident}.")


def _error_page(status: int, text: str, heading: str = "", code: str = "") -> ResponseReturnValue:
    if request.headers.get("HX-Request"):
        return text, status, {"Content-Type": "text/plain; charset=utf-8"}
    heading = heading or _HEADINGS.get(status, "Something went wrong")
    return render_template("error.html", heading=heading, text=text, code=code), status


def _location(error: Exception) -> str:
    """Return the innermost six calls of the traceback."""
    trace, calls = error.__traceback__, []
    while trace is not None:
        calls.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(calls[-6:])
