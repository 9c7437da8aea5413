"""Storage Commitment SCU (PS3.4 Annex J)."""

import enum
import logging
import time
from collections.abc import Sequence
from typing import Final

from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from dicom.commitment import (
    EVENT_TYPES,
    CommitmentReport,
    build_commitment_request,
    parse_commitment_report,
)
from dicom.errors import DicomError
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.kind import CommitmentLog, InstanceReference

logger = logging.getLogger(__name__)

_REQUEST_STORAGE_COMMITMENT: Final = 1
"""The Action Type ID (PS3.4 J.3.2)."""
_POLL_SECONDS: Final = 0.2


class EventReportStatus(enum.IntEnum):
    """Statuses of the response to N-EVENT-REPORT (PS3.7 10.1.1.1.8)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115


def request_commitment(
    requestor: AssociationRequestor,
    requests: CommitmentLog,
    instances: Sequence[InstanceReference],
    *,
    wait_seconds: float,
) -> tuple[int | None, CommitmentReport | None]:
    """Request storage commitment (PS3.4 J.3.2) and wait for the report.

    Most peers report over another association to the listener, which records it in the same
    rows. Some use the association of the request, so it stays open meanwhile. The request is
    recorded only after the peer has accepted the service.

    Returns the status of the request, None without a response, and the report, None if it did not
    arrive in time.

    Raises:
        PeerError: no association could be established.
        ServiceNotOffered: the peer does not offer storage commitment.
    """

    def on_event_report(event: evt.Event) -> tuple[int, None]:
        return int(_record_report(event, requests, requestor.peer)), None

    contexts = [build_context(StorageCommitmentPushModel)]
    handlers = [(evt.EVT_N_EVENT_REPORT, on_event_report)]
    with requestor.associate(contexts, handlers=handlers) as association:
        transaction_uid = requests.open([instance.sop_instance_uid for instance in instances])
        status = _send_n_action(association, transaction_uid, instances)
        if status != 0x0000:
            reason = "no response" if status is None else f"refused with status 0x{status:04X}"
            requests.close(transaction_uid, reason)
            return status, None
        return status, _wait_for_report(requests, transaction_uid, wait_seconds)


def _send_n_action(
    association: Association, transaction_uid: str, instances: Sequence[InstanceReference]
) -> int | None:
    """Return the status of the response, None without one."""
    references = [(instance.sop_class_uid, instance.sop_instance_uid) for instance in instances]
    try:
        response, _ = association.send_n_action(
            build_commitment_request(transaction_uid, references),
            _REQUEST_STORAGE_COMMITMENT,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
    except (OSError, RuntimeError):  # the association was lost
        return None
    status: int | None = response.get("Status")
    return status


def _record_report(event: evt.Event, requests: CommitmentLog, peer: Peer) -> EventReportStatus:
    """Answer as the listener does. The report may be on an earlier request, and a peer does not
    repeat a report that was answered with Success.
    """
    if event.event_type not in EVENT_TYPES:
        return EventReportStatus.NO_SUCH_EVENT_TYPE
    try:
        report = parse_commitment_report(event.event_information)
        known = requests.record_report(report, peer.ae_title, peer.host)
    except DicomError:
        return EventReportStatus.INVALID_ARGUMENT
    except Exception as error:  # noqa: BLE001  pynetdicom's thread would lose it
        logger.error("storage commitment report not recorded: %s", type(error).__name__)
        return EventReportStatus.PROCESSING_FAILURE
    return EventReportStatus.SUCCESS if known else EventReportStatus.INVALID_ARGUMENT


def _wait_for_report(
    requests: CommitmentLog, transaction_uid: str, wait_seconds: float
) -> CommitmentReport | None:
    deadline = time.monotonic() + wait_seconds
    while True:
        report = requests.find_report(transaction_uid)
        if report is not None or time.monotonic() >= deadline:
            return report
        time.sleep(_POLL_SECONDS)
