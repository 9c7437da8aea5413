"""What a destination kind consists of.

A kind is a folder beside this file that exports one `DestinationKind`. To add one, copy `dimse` and
add it to `workers.destinations.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from dicom.commitment import CommitmentReport
from workers.errors import ServiceNotOffered


class DestinationSettings(BaseModel):
    """Base of the settings of a kind: the keys of its `[[destination]]` besides name, kind and
    results. They are stored in the database and shown to administrators, so a secret is named by
    the path of its file.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, str_strip_whitespace=True
    )

    @property
    def address(self) -> str:
        """Where the destination is, for people."""
        raise NotImplementedError


@dataclass(frozen=True)
class SendOptions:
    """What is the same for every destination of one worker."""

    calling_ae: str
    connect_timeout_seconds: float = 10.0
    """Timeout for a connection, and then for the association."""
    response_timeout_seconds: float = 60.0
    """Timeout for the response to one request."""


@dataclass(frozen=True)
class SendOutcome:
    """The result of sending one file."""

    path: Path
    status: int | None
    """A C-STORE status (PS3.4 B.2.3), whatever the kind; None if the object was not answered."""
    problem: str = ""
    """Why the destination did not accept the object; empty if it did."""
    permanent: bool = False
    """A retry with the same bytes cannot help."""

    @property
    def accepted(self) -> bool:
        return not self.problem


@dataclass(frozen=True, order=True)
class InstanceReference:
    """The identification of an object in queries and requests."""

    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class FindResult:
    """The answer to the query for one object."""

    found: bool
    problem: str = ""
    """How the query failed. Then an object that was not found may still be there."""


@dataclass(frozen=True)
class RetrieveResult:
    """The answer to the retrieval of one object."""

    content: bytes | None
    """The encoded data set as received; None if none was."""
    problem: str = ""
    """How the retrieval failed."""


class CommitmentLog(Protocol):
    """The record of storage commitment requests and of the reports on them."""

    def open(self, sop_instance_uids: Collection[str]) -> str:
        """Record a request before it is sent, and return its Transaction UID."""

    def close(self, transaction_uid: str, reason: str) -> None:
        """Record that a request failed. A report that arrives later is still recorded."""

    def record_report(self, report: CommitmentReport, calling_ae: str, address: str) -> bool:
        """Record a report on any request. Return False if its Transaction UID is unknown.

        Once this returns True, Success may be answered.
        """

    def find_report(self, transaction_uid: str) -> CommitmentReport | None:
        """Return the report on a request, if one was received on any association."""


class DestinationClient(ABC):
    """A connection to one destination. One subclass for each kind.

    A kind without a service for queries, retrieval or storage commitment inherits the methods
    that raise ServiceNotOffered.
    """

    @abstractmethod
    def test(self) -> None:
        """Test the connection. Raises PeerError with the reason and the remedy."""

    @abstractmethod
    def send(self, paths: Sequence[Path]) -> list[SendOutcome]:
        """Send DICOM files without changing a byte. Return one outcome for each, in order.

        An object that is refused or cannot be sent does not stop the others.

        Raises:
            PeerError: no object could be sent.
        """

    def find(
        self, instances: Sequence[InstanceReference], *, wait_seconds: float
    ) -> dict[str, FindResult]:
        """Query the objects, for up to `wait_seconds` those that are not found yet. Return the
        results by SOP Instance UID.
        """
        raise ServiceNotOffered

    def retrieve(self, instances: Sequence[InstanceReference]) -> dict[str, RetrieveResult]:
        """Retrieve the objects. Return the results by SOP Instance UID, without those of objects
        whose SOP class the destination does not send.
        """
        raise ServiceNotOffered

    def request_commitment(
        self,
        requests: CommitmentLog,
        instances: Sequence[InstanceReference],
        *,
        wait_seconds: float,
    ) -> tuple[int | None, CommitmentReport | None]:
        """Request storage commitment and wait for the report. Return the status of the request
        and the report, None for what did not arrive in time.
        """
        raise ServiceNotOffered


S = TypeVar("S", bound=DestinationSettings)


@dataclass(frozen=True)
class DestinationKind(Generic[S]):
    """A way to send results."""

    name: str
    """`kind` in the routes file."""
    settings: type[S]
    connect: Callable[[S, SendOptions], DestinationClient]

    def parse_settings(self, settings: Mapping[str, Any]) -> S:
        """Validate the keys of a `[[destination]]`. Raises pydantic's ValidationError."""
        return self.settings.model_validate(settings)

    def open_client(self, settings: Mapping[str, Any], options: SendOptions) -> DestinationClient:
        """Return a client for a destination. Raises pydantic's ValidationError."""
        return self.connect(self.parse_settings(settings), options)
