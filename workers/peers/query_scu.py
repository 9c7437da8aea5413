"""C-FIND, C-GET and storage commitment: what a peer still knows of objects that it took."""

import enum
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol, TypeVar

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from pynetdicom.status import QR_FIND_SERVICE_CLASS_STATUS, QR_GET_SERVICE_CLASS_STATUS

from dicom.commitment import (
    EVENT_TYPES,
    CommitmentReport,
    build_commitment_request,
    parse_commitment_report,
)
from dicom.errors import DicomError
from workers.errors import PeerError, ServiceNotOffered
from workers.peers.store_scu import Call

logger = logging.getLogger(__name__)

_PENDING: Final = frozenset({0xFF00, 0xFF01})
_REQUEST_COMMITMENT: Final = 1
_LOOK_EVERY_S: Final = 0.2
_FIND_AGAIN_EVERY_S: Final = 0.5
T = TypeVar("T")
Responses = Iterator[tuple[Dataset, Dataset | None]]


@dataclass(frozen=True, order=True)
class Instance:
    """An object, as queries and requests name it."""

    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Found:
    """What C-FIND said of one object."""

    there: bool
    problem: str = ""
    """How the peer ended it, when that was not with success: then it is not known to be away."""


_ABSENT: Final = Found(there=False)


@dataclass(frozen=True)
class Brought:
    """What C-GET brought of one object."""

    content: bytes | None
    """The data set as it came over the wire; None when nothing came."""
    problem: str = ""
    """As of `Found`."""


class ReportStatus(enum.IntEnum):
    """What is answered to a report about storage commitment (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115


class CommitmentBook(Protocol):
    """Where requests for storage commitment and their reports are written down."""

    def ask(self, sop_instance_uids: Collection[str]) -> str:
        """Note a request that is about to be sent, and return its Transaction UID."""

    def ended(self, transaction_uid: str, reason: str) -> None:
        """Note that a request got no further; a report that comes all the same is still kept."""

    def keep(self, report: CommitmentReport) -> bool:
        """Note a report, whichever request it is of; False: nobody asked with its Transaction UID.

        Once this returns True, Success may be answered.
        """

    def answer(self, transaction_uid: str) -> CommitmentReport | None:
        """The report that has come on a request, by this association or another."""


def find(call: Call, instances: Sequence[Instance], *, seconds: float) -> dict[str, Found]:
    """What the peer finds at IMAGE level (PS3.4 C.6.2), by SOP Instance UID.

    A peer may index what it took only after it answered: for ``seconds`` it is asked again for
    what it does not find.

    Raises ServiceNotOffered when the peer has no Query/Retrieve. An association that does not come
    about is a problem of every object.
    """
    try:
        return _find_all(call, instances, seconds)
    except ServiceNotOffered:
        raise
    except PeerError as error:
        problem = Found(there=False, problem=f"C-FIND: {error}")
        return {each.sop_instance_uid: problem for each in instances}


def _find_all(call: Call, instances: Sequence[Instance], seconds: float) -> dict[str, Found]:
    model = StudyRootQueryRetrieveInformationModelFind
    with call.associated([build_context(model)]) as association:
        found = {each.sop_instance_uid: _find(association, each) for each in instances}
        deadline = time.monotonic() + seconds
        while missing := [each for each in instances if found[each.sop_instance_uid] == _ABSENT]:
            if time.monotonic() >= deadline:
                break
            time.sleep(_FIND_AGAIN_EVERY_S)
            found |= {each.sop_instance_uid: _find(association, each) for each in missing}
    return found


def _find(association: Association, instance: Instance) -> Found:
    model = StudyRootQueryRetrieveInformationModelFind
    there, last = False, Dataset()
    for last, match in _responses(association, association.send_c_find, instance, model):
        if last.get("Status") in _PENDING and match is not None:
            there = there or match.get("SOPInstanceUID") == instance.sop_instance_uid
    return Found(there, _problem("C-FIND", last, QR_FIND_SERVICE_CLASS_STATUS))


def get(call: Call, instances: Sequence[Instance]) -> dict[str, Brought]:
    """What C-GET brings back (PS3.4 C.4.3), by SOP Instance UID. Left out is what the peer sends
    to nobody, by its SOP class.

    One association for each pair of SOP class and transfer syntax: given several syntaxes, a
    peer may choose another one than the object has, and what came back would be its work. One
    that does not come about is a problem of the objects that it was for.

    Raises ServiceNotOffered when the peer has no Query/Retrieve.
    """
    brought: dict[str, Brought] = {}
    for (sop_class, syntax), each in groupby(sorted(instances), _context):
        group = list(each)
        try:
            brought |= _get(call, sop_class, syntax, group)
        except ServiceNotOffered:
            raise
        except PeerError as error:
            brought |= {one.sop_instance_uid: Brought(None, f"C-GET: {error}") for one in group}
    return brought


def _context(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.transfer_syntax_uid


def _get(
    call: Call, sop_class: str, syntax: str, instances: Sequence[Instance]
) -> dict[str, Brought]:
    model = StudyRootQueryRetrieveInformationModelGet
    came: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        came[uid] = event.encoded_dataset(include_meta=False)
        return 0x0000

    contexts = [build_context(model), build_context(sop_class, syntax)]
    roles, handlers = [build_role(sop_class, scp_role=True)], [(evt.EVT_C_STORE, keep)]
    with call.associated(contexts, roles, handlers) as association:
        accepted = association.accepted_contexts
        if all(context.abstract_syntax != model for context in accepted):
            raise ServiceNotOffered
        if not any(context.as_scp for context in accepted):
            return {}
        problems = {each.sop_instance_uid: _get_one(association, each) for each in instances}
    return {uid: Brought(came.get(uid), problem) for uid, problem in problems.items()}


def _get_one(association: Association, instance: Instance) -> str:
    """How the peer ended it, when that was not with success."""
    model = StudyRootQueryRetrieveInformationModelGet
    responses = list(_responses(association, association.send_c_get, instance, model))
    last, _ = responses[-1] if responses else (Dataset(), None)
    return _problem("C-GET", last, QR_GET_SERVICE_CLASS_STATUS)


def _responses(
    association: Association,
    send: Callable[[Dataset, str], Responses],
    instance: Instance,
    model: str,
) -> Responses:
    """None, or none that is final, when the association broke off."""
    if association.is_established:
        with suppress(OSError, RuntimeError):  # it breaks off at this very moment
            yield from send(_identifier(instance), model)


def _problem(service: str, last: Dataset, texts: dict[int, tuple[str, str]]) -> str:
    status = last.get("Status")
    if status is None or status in _PENDING:
        return f"{service}: no answer, the peer timed out or broke off"
    if status == 0x0000:
        return ""
    _, text = texts.get(status, ("", "it says nothing more"))
    return f"{service} ended with status 0x{status:04X}: {text}"


def request_commitment(
    call: Call, book: CommitmentBook, instances: Sequence[Instance], *, seconds: float
) -> tuple[int | None, CommitmentReport | None]:
    """Ask the peer to commit itself to keep objects (PS3.4 J.3.2), and wait for its report.

    Most peers report on an association of their own to the listener, which writes that into the
    rows of the same book. Some use the one that the request came by, so that is held open
    meanwhile. Nothing is noted as asked before the peer has accepted the service.

    Returns the peer's status for the request, None when none came, and the report, None when it
    did not come in time. Raises PeerError, and ServiceNotOffered when the peer has no such service.
    """
    contexts = [build_context(StorageCommitmentPushModel)]
    handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: (int(_answer(event, book)), None))]
    with call.associated(contexts, handlers=handlers) as association:
        transaction_uid = book.ask([each.sop_instance_uid for each in instances])
        status = _ask_to_commit(association, transaction_uid, instances)
        if status != 0x0000:
            said = "no answer" if status is None else f"refused with status 0x{status:04X}"
            book.ended(transaction_uid, said)
            return status, None
        return status, _awaited(lambda: book.answer(transaction_uid), seconds)


def _ask_to_commit(
    association: Association, transaction_uid: str, instances: Sequence[Instance]
) -> int | None:
    """The status that the peer answers."""
    references = [(each.sop_class_uid, each.sop_instance_uid) for each in instances]
    try:
        answered, _ = association.send_n_action(
            build_commitment_request(transaction_uid, references),
            _REQUEST_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
    except (OSError, RuntimeError):  # the association broke off meanwhile
        return None
    status: int | None = answered.get("Status")
    return status


def _answer(event: evt.Event, book: CommitmentBook) -> ReportStatus:
    """As the listener answers: a peer may tell here of what it was asked long before, and what is
    answered with success it never tells again.
    """
    if event.event_type not in EVENT_TYPES:
        return ReportStatus.NO_SUCH_EVENT_TYPE
    try:
        known = book.keep(parse_commitment_report(event.event_information))
    except DicomError:
        return ReportStatus.INVALID_ARGUMENT
    except Exception as error:  # noqa: BLE001  what is thrown here is lost in pynetdicom's thread
        logger.error("a report about storage commitment was not kept: %s", type(error).__name__)
        return ReportStatus.PROCESSING_FAILURE
    return ReportStatus.SUCCESS if known else ReportStatus.INVALID_ARGUMENT


def _awaited(look: Callable[[], T | None], seconds: float) -> T | None:
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return found


def _identifier(instance: Instance) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = instance.study_instance_uid
    identifier.SeriesInstanceUID = instance.series_instance_uid
    identifier.SOPInstanceUID = instance.sop_instance_uid
    return identifier
