"""Errors of the workers. Their texts hold no patient data and no UID from the network."""

import errno
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from db.errors import DbError, StoreFull
from dicom.errors import (
    DecoderCrashed,
    DicomError,
    FrameSizeMismatch,
    FrameTimeout,
    FrameTooLarge,
    ImageTooLarge,
    InvalidHeader,
    LimitExceeded,
    NotDicom,
    TruncatedFile,
    UndecodableFrame,
)
from models.types import ModelError

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class WorkError(Exception):
    """Base of the errors of this package."""

    permanent: bool = True
    """A retry cannot help."""


ClassifiedError = WorkError | DbError | DicomError | ModelError
"""The errors that state whether they are permanent, and whose texts are safe to log.

A union, because `db`, `dicom` and `models` import nothing of one another that could be a base.
"""


class NotAnImage(DicomError):
    """Raised when a PNG or JPEG file cannot be read as one."""

    code = "not-an-image"

    def __init__(self) -> None:
        super().__init__("The file is neither a PNG nor a JPEG image.")


_DAMAGE: Final = (
    NotDicom,
    NotAnImage,
    TruncatedFile,
    InvalidHeader,
    LimitExceeded,
    UndecodableFrame,
    DecoderCrashed,
    FrameSizeMismatch,
    FrameTimeout,
    FrameTooLarge,
    ImageTooLarge,
)
DAMAGED_CODES: Final = frozenset(error.code for error in _DAMAGE)
"""Codes of files that could not be read. Other codes refuse an image that should not be analyzed."""


class PrerequisitePending(WorkError):
    """Raised when another job has to finish first. The attempt counts."""

    permanent = False


class Postponed(WorkError):
    """Raised when other jobs must run first. The attempt does not count."""

    permanent = False

    def __init__(self, reason: str = "waiting until no result is being produced") -> None:
        super().__init__(reason)


class EarlierAnalysisPending(Postponed):
    """Raised when the results of an earlier analysis of the study are not published yet. Later
    results name the earlier ones as their predecessors.
    """

    def __init__(self) -> None:
        super().__init__("waiting for the results of an earlier analysis of the study")


class PeerError(WorkError):
    """Raised when an association cannot be established or is aborted."""

    def __init__(self, problem: str, *, permanent: bool) -> None:
        super().__init__(problem)
        self.permanent = permanent


class ServiceNotOffered(PeerError):
    """Raised when the peer accepts none of the presentation contexts: it does not offer the
    service, or is not configured yet to offer it to us.
    """

    def __init__(self) -> None:
        super().__init__("the peer accepts none of the presentation contexts", permanent=False)


class DestinationRemoved(WorkError):
    """Raised when the destination is no longer in the routes file. It may be restored there."""

    permanent = False

    def __init__(self) -> None:
        super().__init__(
            "the destination is no longer in the routes file; restore it to resume delivery"
        )


class SelectionNotAvailable(WorkError):
    """Raised when none of the results that the destination now selects can be sent."""

    def __init__(self, created: Iterable[str], selected: Iterable[str]) -> None:
        super().__init__(
            f"the destination now selects {', '.join(selected)}, and this result set has none of"
            f" these; to send what it has, add {' or '.join(created)} to the destination's results"
        )


class DeliveryIncomplete(WorkError):
    """Raised when the destination did not accept every object."""

    def __init__(self, problem: str, *, permanent: bool, statuses: Mapping[UUID, int]) -> None:
        super().__init__(problem)
        self.permanent = permanent
        self.statuses = statuses
        """The status of each object that was answered, by the object's id."""


def is_permanent(error: BaseException) -> bool:
    """Return whether a retry cannot help. Unknown errors are retried."""
    return isinstance(error, ClassifiedError) and error.permanent


def is_disk_full(error: BaseException) -> bool:
    """Return whether the job could not run for lack of disk space."""
    return isinstance(error, StoreFull) or (
        isinstance(error, OSError) and error.errno in _DISK_FULL
    )


def describe_error(error: BaseException) -> str:
    """Return a text for people. Other errors may quote patient data, so only their type is named."""
    if isinstance(error, ClassifiedError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"operating system error: {error.strerror}"
    return f"unexpected {type(error).__name__}"
