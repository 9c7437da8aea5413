"""Query/Retrieve SCU: C-FIND and C-GET of objects by UID."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from pynetdicom.status import QR_FIND_SERVICE_CLASS_STATUS, QR_GET_SERVICE_CLASS_STATUS

from workers.destinations.dimse.association import AssociationRequestor
from workers.destinations.kind import FindResult, InstanceReference, RetrieveResult
from workers.errors import PeerError, ServiceNotOffered

_PENDING: Final = frozenset({0xFF00, 0xFF01})
_FIND_INTERVAL_SECONDS: Final = 0.5
Responses = Iterator[tuple[Dataset, Dataset | None]]


def find(
    requestor: AssociationRequestor, instances: Sequence[InstanceReference], *, wait_seconds: float
) -> dict[str, FindResult]:
    """Send C-FIND at IMAGE level (PS3.4 C.6.2) for each object. Return the results by SOP Instance
    UID.

    A peer may index objects after it has answered C-STORE, so the query for an object that is not
    found is repeated for `wait_seconds`. A failed association is a problem of every object.

    Raises:
        ServiceNotOffered: the peer does not offer Query/Retrieve.
    """
    model = StudyRootQueryRetrieveInformationModelFind
    absent = FindResult(found=False)
    try:
        with requestor.associate([build_context(model)]) as association:
            results = {each.sop_instance_uid: _find(association, each) for each in instances}
            deadline = time.monotonic() + wait_seconds
            while missing := [
                each for each in instances if results[each.sop_instance_uid] == absent
            ]:
                if time.monotonic() >= deadline:
                    break
                time.sleep(_FIND_INTERVAL_SECONDS)
                results |= {each.sop_instance_uid: _find(association, each) for each in missing}
        return results
    except ServiceNotOffered:
        raise
    except PeerError as error:
        failed = FindResult(found=False, problem=f"C-FIND: {error}")
        return {instance.sop_instance_uid: failed for instance in instances}


def _find(association: Association, instance: InstanceReference) -> FindResult:
    model = StudyRootQueryRetrieveInformationModelFind
    found, last = False, Dataset()
    for last, match in _responses(association, association.send_c_find, instance, model):
        if last.get("Status") in _PENDING and match is not None:
            found = found or match.get("SOPInstanceUID") == instance.sop_instance_uid
    return FindResult(found, _describe_failure("C-FIND", last, QR_FIND_SERVICE_CLASS_STATUS))


def get(
    requestor: AssociationRequestor, instances: Sequence[InstanceReference]
) -> dict[str, RetrieveResult]:
    """Retrieve objects with C-GET (PS3.4 C.4.3). Return the results by SOP Instance UID, without
    those of objects whose SOP class the peer does not send.

    Each pair of SOP class and transfer syntax has an association of its own: offered several
    transfer syntaxes, the peer may convert the object. A failed association is a problem of the
    objects that it was for.

    Raises:
        ServiceNotOffered: the peer does not offer Query/Retrieve.
    """
    results: dict[str, RetrieveResult] = {}
    by_context = groupby(
        sorted(instances), lambda instance: (instance.sop_class_uid, instance.transfer_syntax_uid)
    )
    for (sop_class_uid, transfer_syntax_uid), group in by_context:
        of_context = list(group)
        try:
            results |= _get(requestor, sop_class_uid, transfer_syntax_uid, of_context)
        except ServiceNotOffered:
            raise
        except PeerError as error:
            failed = RetrieveResult(None, f"C-GET: {error}")
            results |= {instance.sop_instance_uid: failed for instance in of_context}
    return results


def _get(
    requestor: AssociationRequestor,
    sop_class_uid: str,
    transfer_syntax_uid: str,
    instances: Sequence[InstanceReference],
) -> dict[str, RetrieveResult]:
    model = StudyRootQueryRetrieveInformationModelGet
    received: dict[str, bytes] = {}

    def on_c_store(event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        received[uid] = event.encoded_dataset(include_meta=False)
        return 0x0000

    contexts = [build_context(model), build_context(sop_class_uid, transfer_syntax_uid)]
    roles = [build_role(sop_class_uid, scp_role=True)]
    with requestor.associate(contexts, roles, [(evt.EVT_C_STORE, on_c_store)]) as association:
        accepted = association.accepted_contexts
        if all(context.abstract_syntax != model for context in accepted):
            raise ServiceNotOffered
        if not any(context.as_scp for context in accepted):
            return {}
        problems = {each.sop_instance_uid: _get_one(association, each) for each in instances}
    return {uid: RetrieveResult(received.get(uid), problem) for uid, problem in problems.items()}


def _get_one(association: Association, instance: InstanceReference) -> str:
    """Return how the retrieval failed; empty if it did not."""
    model = StudyRootQueryRetrieveInformationModelGet
    responses = list(_responses(association, association.send_c_get, instance, model))
    last, _ = responses[-1] if responses else (Dataset(), None)
    return _describe_failure("C-GET", last, QR_GET_SERVICE_CLASS_STATUS)


def _responses(
    association: Association,
    send: Callable[[Dataset, str], Responses],
    instance: InstanceReference,
    model: str,
) -> Responses:
    """Yield the responses to a request for one object; without a final one if the association is
    lost.
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = instance.study_instance_uid
    identifier.SeriesInstanceUID = instance.series_instance_uid
    identifier.SOPInstanceUID = instance.sop_instance_uid
    if association.is_established:
        with suppress(OSError, RuntimeError):  # the association is lost at this moment
            yield from send(identifier, model)


def _describe_failure(service: str, last: Dataset, texts: dict[int, tuple[str, str]]) -> str:
    """Return the meaning of the status of the last response; empty for Success."""
    status = last.get("Status")
    if status is None or status in _PENDING:
        return f"{service}: no response, the peer timed out or closed the connection"
    if status == 0x0000:
        return ""
    _, text = texts.get(status, ("", "unknown status"))
    return f"{service} failed with status 0x{status:04X}: {text}"
