"""C-FIND, C-GET and storage commitment: what a peer still knows of objects that it took."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeVar

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

from dicom.commitment import CommitmentReport, commitment_request, read_commitment_report
from workers.errors import NothingAccepted, PeerProblem
from workers.store_client import Call

_PENDING: Final = frozenset({0xFF00, 0xFF01})
_REQUEST_COMMITMENT: Final = 1
_LOOK_EVERY_S: Final = 0.2
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Instance:
    """An object, as queries and requests name it."""

    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def find(call: Call, instances: Sequence[Instance]) -> set[str]:
    """SOP Instance UIDs of those that the peer finds at IMAGE level (PS3.4 C.6.2).

    Raises PeerProblem; NothingAccepted when the peer has no Query/Retrieve.
    """
    model = StudyRootQueryRetrieveInformationModelFind
    found: set[str] = set()
    with call.associated([build_context(model)]) as association:
        for instance in instances:
            _check(association)
            for status, match in association.send_c_find(_identifier(instance), model):
                if status.get("Status") in _PENDING and match is not None:
                    found.add(str(match.get("SOPInstanceUID", "")))
    return found


def get(call: Call, instances: Sequence[Instance]) -> dict[str, bytes | None]:
    """What C-GET brings back (PS3.4 C.4.3), by SOP Instance UID: the data set as it came over the
    wire, None when nothing came. Left out is what the peer sends to nobody, by its SOP class.

    One association for each pair of SOP class and transfer syntax: given several syntaxes, a
    peer may choose another one than the object has, and what came back would be its work.

    Raises as `find`.
    """
    brought: dict[str, bytes | None] = {}
    for (sop_class, syntax), group in groupby(sorted(instances), _context):
        brought |= _get(call, sop_class, syntax, list(group))
    return brought


def _context(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.transfer_syntax_uid


def _get(
    call: Call, sop_class: str, syntax: str, instances: Sequence[Instance]
) -> dict[str, bytes | None]:
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
            raise NothingAccepted
        if not any(context.as_scp for context in accepted):
            return {}
        for instance in instances:
            _check(association)
            for _ in association.send_c_get(_identifier(instance), model):
                """`keep` has what came."""
    return {uid: came.get(uid) for uid in (each.sop_instance_uid for each in instances)}


def request_commitment(
    call: Call,
    transaction_uid: str,
    instances: Sequence[Instance],
    *,
    arrived: Callable[[], CommitmentReport | None],
    seconds: float,
) -> tuple[int | None, CommitmentReport | None]:
    """Ask the peer to commit itself to keep objects (PS3.4 J.3.2), and wait for its report.

    Most peers report on an association of their own to the listener: ``arrived`` looks whether it
    has. Some use the one that the request came by, so that is held open meanwhile. Returns the
    peer's status for the request, None when none came, and the report, None when it did not come
    in time. Raises as `find`.
    """
    model, came = StorageCommitmentPushModel, list[CommitmentReport]()

    def keep(event: evt.Event) -> tuple[int, None]:
        came.append(read_commitment_report(event.event_information))
        return 0x0000, None

    handlers = [(evt.EVT_N_EVENT_REPORT, keep)]
    with call.associated([build_context(model)], handlers=handlers) as association:
        status, _ = association.send_n_action(
            commitment_request(transaction_uid, [_class_and_uid(each) for each in instances]),
            _REQUEST_COMMITMENT,
            model,
            StorageCommitmentPushModelInstance,
        )
        code: int | None = status.get("Status")
        if code != 0:
            return code, None
        return code, _awaited(lambda: came[0] if came else arrived(), seconds)


def _awaited(look: Callable[[], T | None], seconds: float) -> T | None:
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return found


def _class_and_uid(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.sop_instance_uid


def _check(association: Association) -> None:
    if not association.is_established:
        raise PeerProblem("the peer broke off while it was asked", permanent=False)


def _identifier(instance: Instance) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = instance.study_instance_uid
    identifier.SeriesInstanceUID = instance.series_instance_uid
    identifier.SOPInstanceUID = instance.sop_instance_uid
    return identifier
