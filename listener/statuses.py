"""The status of every DIMSE response, and the error that leads to it (PS3.4 B.2.3, PS3.7 C)."""

import enum
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from db.errors import BacklogTooLong, StoreFull
from dicom.errors import DicomError, InvalidHeader
from listener.errors import IdentityMismatch, NotAuthorized, UnknownTransaction


class DimseStatus(enum.IntEnum):
    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    UNRECOGNIZED_OPERATION = 0x0211
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700  # A7xx, out of resources: the sender may try again later
    DATABASE_DOWN = 0xA701
    MISMATCH = 0xA900  # A9xx: the data set does not match the SOP class or the request
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class Response:
    """The response to a C-STORE request. ``code`` is stable; counts, audit and log use it."""

    status: DimseStatus
    code: str = ""
    comment: str = ""


UNEXPECTED: Final = Response(DimseStatus.PROCESSING_FAILURE, "unexpected", "Unexpected failure")

_FAILURES: Final[tuple[tuple[type[Exception], Response], ...]] = (
    (
        NotAuthorized,
        Response(DimseStatus.NOT_AUTHORIZED, "not-authorized", "Sender not authorized"),
    ),
    (
        IdentityMismatch,
        Response(DimseStatus.MISMATCH, "identity-mismatch", "Request and data set differ"),
    ),
    (StoreFull, Response(DimseStatus.OUT_OF_RESOURCES, "disk-full", "Disk full, try again later")),
    (
        BacklogTooLong,
        Response(
            DimseStatus.OUT_OF_RESOURCES, "backlog-too-long", "Too many files wait, try again later"
        ),
    ),
    (
        OSError,
        Response(DimseStatus.OUT_OF_RESOURCES, "disk-failed", "Disk failed, try again later"),
    ),
    (
        SQLAlchemyError,
        Response(
            DimseStatus.DATABASE_DOWN, "database-down", "Database not available, try again later"
        ),
    ),
)


def build_store_failure(error: Exception) -> Response:
    """Return the response to a C-STORE that failed with `error`."""
    if isinstance(error, DicomError):
        lacks_uid = isinstance(error, InvalidHeader) and error.keyword.endswith("UID")
        status = DimseStatus.MISMATCH if lacks_uid else DimseStatus.CANNOT_UNDERSTAND
        return Response(status, error.code, str(error))
    return next((response for kind, response in _FAILURES if isinstance(error, kind)), UNEXPECTED)


def build_report_failure(error: Exception) -> Response:
    """Return the response to an N-EVENT-REPORT that failed with `error` (PS3.7 10.1.1.1.8)."""
    if isinstance(error, DicomError | UnknownTransaction):
        return Response(DimseStatus.INVALID_ARGUMENT, error.code)
    return Response(DimseStatus.PROCESSING_FAILURE, build_store_failure(error).code)
