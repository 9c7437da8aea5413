"""What can go wrong while working; texts carry no patient data and no UID from the network."""

import errno
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from db.errors import RowsError, StoreFull
from dicom.errors import DicomError
from models.types import ModelError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class WorkError(Exception):
    """Base of every error of this package; ``permanent`` says that a retry cannot help."""

    permanent = True


class NotAPicture(DicomError):
    """Refused in the same way as a DICOM file that is none."""

    code = "not-a-picture"

    def __init__(self) -> None:
        super().__init__("The file is neither PNG nor JPEG, whatever its name says.")


class NotYet(WorkError):
    """What this job builds on is still being made; it comes back by itself."""

    permanent = False


class GivesWay(WorkError):
    """Other work goes before. However long that takes, no attempt is lost by it."""

    permanent = False

    def __init__(self, reason: str = "it waits until there is nothing else to do") -> None:
        super().__init__(reason)


class ComesAfter(GivesWay):
    """The results of a study go out in the order of its analyses: later ones name earlier ones."""

    def __init__(self) -> None:
        super().__init__("it waits for the results of an earlier analysis of the study")


class PeerProblem(WorkError):
    """The association did not come about or broke off."""

    def __init__(self, problem: str, *, permanent: bool) -> None:
        super().__init__(problem)
        self.permanent = permanent


class NothingAccepted(PeerProblem):
    """The peer accepted none of the presentation contexts: it does not offer the service, or is
    not configured yet to offer it to us.
    """

    def __init__(self) -> None:
        super().__init__("the peer takes none of these kinds of objects", permanent=False)


class NoDestination(WorkError):
    """Nothing is sent to a peer that was struck off; it may come back: files go missing."""

    permanent = False

    def __init__(self) -> None:
        super().__init__("the destination is no longer in the routes file; put it back to go on")


class NothingWanted(WorkError):
    """The destination has changed its mind, and this has nothing of what it wants now."""

    def __init__(self, made: Iterable[str], wanted: Iterable[str]) -> None:
        super().__init__(
            f"the destination wants {', '.join(wanted)} now, and there is none of it here; to have"
            f" what was made for it sent, name {' or '.join(made)} in its results again"
        )


class DeliveryIncomplete(WorkError):
    """The PACS did not take every object; ``statuses`` holds its answers, by object."""

    def __init__(self, problem: str, *, permanent: bool, statuses: Mapping[UUID, int]) -> None:
        super().__init__(problem)
        self.permanent = permanent
        self.statuses = statuses


def is_permanent(error: BaseException) -> bool:
    """Whether a retry cannot help. What is not known to be so is tried again."""
    return bool(getattr(error, "permanent", False))


def is_nobodys_fault(error: BaseException) -> bool:
    """Whether the job is not to blame: the disk is full, or other work goes before."""
    no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
    return no_room or isinstance(error, (StoreFull, GivesWay))


def describe_error(error: BaseException) -> str:
    """Why, for people. Foreign errors may quote patient data, so only their kind is told."""
    if isinstance(error, (WorkError, RowsError, DicomError, ModelError)):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"the system says: {error.strerror}"
    return f"unexpected {type(error).__name__}"
