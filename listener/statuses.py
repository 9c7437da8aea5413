"""Every status that the listener answers (PS3.4 B.2.3, PS3.7 C), and what leads to it."""

import enum
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from sqlalchemy.exc import SQLAlchemyError

from db.errors import StoreFull
from dicom.errors import DicomError, InvalidHeader
from listener.errors import IdentityMismatch, NotAuthorized, UnknownTransaction

_COMMENT_LENGTH: Final = 64  # VR LO


class Status(enum.IntEnum):
    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    DISK_FULL = 0xA700  # A7xx, out of resources: the sender tries again later
    DATABASE_DOWN = 0xA701
    MISMATCH = 0xA900  # A9xx: the data set does not match the SOP class, or the request
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True)
class Answer:
    """What the sender gets to see. ``code`` is stable, for counts, audit and logs."""

    status: Status
    code: str = ""
    comment: str = ""

    def as_dataset(self) -> Dataset:
        """Status (0000,0900) and, for a failure, Error Comment (0000,0902)."""
        dataset = Dataset()
        dataset.Status = int(self.status)
        if self.comment:
            dataset.ErrorComment = self.comment[:_COMMENT_LENGTH]
        return dataset


SUCCESS: Final = Answer(Status.SUCCESS)
UNEXPECTED: Final = Answer(Status.PROCESSING_FAILURE, "unexpected", "Unexpected failure")

_FAILURES: Final[tuple[tuple[type[Exception], Answer], ...]] = (
    (NotAuthorized, Answer(Status.NOT_AUTHORIZED, "not-authorized", "Sender not authorized")),
    (IdentityMismatch, Answer(Status.MISMATCH, "identity-mismatch", "Request and data set differ")),
    (StoreFull, Answer(Status.DISK_FULL, "disk-full", "Disk full, try again later")),
    (OSError, Answer(Status.DISK_FULL, "disk-failed", "Disk failed, try again later")),
    (SQLAlchemyError, Answer(Status.DATABASE_DOWN, "database-down", "Database, try again later")),
)


def answer_to(error: Exception) -> Answer:
    """The answer to a failed C-STORE; whatever is not in the table is a fault of ours."""
    if isinstance(error, DicomError):
        return Answer(_status_of(error), error.code, str(error))
    return next((answer for kind, answer in _FAILURES if isinstance(error, kind)), UNEXPECTED)


def answer_to_report(error: Exception) -> Answer:
    """The answer to an N-EVENT-REPORT that failed (PS3.7 10.1.1.1.8)."""
    if isinstance(error, DicomError | UnknownTransaction):
        return Answer(Status.INVALID_ARGUMENT, error.code)
    return Answer(Status.PROCESSING_FAILURE, answer_to(error).code)


def _status_of(error: DicomError) -> Status:
    lacks_identity = isinstance(error, InvalidHeader) and error.keyword.endswith("UID")
    return Status.MISMATCH if lacks_identity else Status.CANNOT_UNDERSTAND
