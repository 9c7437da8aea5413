"""An archive with C-STORE, C-FIND, C-GET and storage commitment, whose faults can be set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from threading import Thread

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    UltrasoundImageStorage,
    Verification,
)

from tests import peers
from workers.destinations.dimse.association import AssociationRequestor, Peer

Answers = Iterator[tuple[int, Dataset | None]]


def _coerce_nothing(_dataset: Dataset) -> None:
    """Store objects unchanged."""


@dataclass
class Archive:
    """The archive with its objects and faults.

    ``sop_classes`` are those that it accepts and sends with C-GET.
    """

    objects: list[Dataset] = field(default_factory=list)
    sop_classes: tuple[str, ...] = (UltrasoundImageStorage,)
    coerce: Callable[[Dataset], None] = _coerce_nothing
    store_status: int = 0x0000
    find_status: int = 0x0000
    get_status: int = 0x0000
    finds_from: int = 1
    """The number of the first C-FIND that finds anything."""
    aborts_at: int = 0
    """The number of the C-FIND at which it aborts the association; 0 for none."""
    commitment: int = 0x0000
    other_reports: tuple[tuple[int, Dataset], ...] = ()
    """Event type and information of reports that it sends before the one on a request."""
    reports_at_once: bool = False
    early_report: Dataset | None = None
    """A report that it sends before it answers the request for commitment."""
    finds: int = 0
    request: Dataset | None = None
    report_statuses: list[int] = field(default_factory=list)

    def store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.coerce(dataset)
        self.objects.append(dataset)
        return self.store_status

    def find(self, event: evt.Event) -> Answers:
        self.finds += 1
        if self.finds == self.aborts_at:
            event.assoc.abort()
            return
        for stored in self._matching(event) if self.finds >= self.finds_from else ():
            match = Dataset()
            match.SOPInstanceUID = stored.SOPInstanceUID
            yield 0xFF00, match
        yield self.find_status, None

    def get(self, event: evt.Event) -> Iterator[int | tuple[int, Dataset | None]]:
        matching = self._matching(event)
        yield len(matching)
        if self.get_status:
            yield self.get_status, None
            return
        for stored in matching:
            yield 0xFF00, stored

    def commit(self, event: evt.Event) -> tuple[int, None]:
        self.request = event.action_information
        if self.early_report is not None:
            self._send_early_report(event.assoc, event.context.context_id, self.early_report)
        if self.reports_at_once or self.other_reports:
            Thread(target=self._report, args=(event.assoc, self.request)).start()
        return self.commitment, None

    def _send_early_report(
        self, association: Association, context_id: int | None, report: Dataset
    ) -> None:
        """While a request is served, pynetdicom's own method would wait for itself."""
        assert context_id is not None
        request = N_EVENT_REPORT()
        request.MessageID, request.EventTypeID = 1, 1
        request.AffectedSOPClassUID = StorageCommitmentPushModel
        request.AffectedSOPInstanceUID = StorageCommitmentPushModelInstance
        request.EventInformation = BytesIO(encode(report, True, True) or b"")
        association.dimse.send_msg(request, context_id)
        _, answer = association.dimse.get_msg(block=True)
        assert isinstance(answer, N_EVENT_REPORT)
        assert answer.Status is not None
        self.report_statuses.append(answer.Status)

    def _report(self, association: Association, asked: Dataset) -> None:
        """After the answer to the request went out, on the same association."""
        own = ((2, self.report_on(asked)),) if self.reports_at_once else ()
        for event_type, information in (*self.other_reports, *own):
            status, _ = association.send_n_event_report(
                information,
                event_type,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
            self.report_statuses.append(status.Status)

    def report_on(self, asked: Dataset) -> Dataset:
        report, held = Dataset(), {each.SOPInstanceUID for each in self.objects}
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for each in asked.ReferencedSOPSequence:
            if each.ReferencedSOPInstanceUID in held:
                report.ReferencedSOPSequence.append(each)
            else:
                each.FailureReason = 0x0112
                report.FailedSOPSequence.append(each)
        return report

    def _matching(self, event: evt.Event) -> list[Dataset]:
        wanted = event.identifier
        assert wanted.QueryRetrieveLevel == "IMAGE"
        return [each for each in self.objects if each.SOPInstanceUID == wanted.SOPInstanceUID]


@contextmanager
def run_archive(archive: Archive, *services: str) -> Iterator[AssociationRequestor]:
    ae = AE(ae_title="ARCHIVE")
    for service in (Verification, *services):
        ae.add_supported_context(service)
    for sop_class in archive.sop_classes:
        ae.add_supported_context(sop_class, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, archive.store),
        (evt.EVT_C_FIND, archive.find),
        (evt.EVT_C_GET, archive.get),
        (evt.EVT_N_ACTION, archive.commit),
    ]
    port = peers.free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield AssociationRequestor(Peer("ARCHIVE", "127.0.0.1", port), "SONOGATE", 5.0, 5.0)
    finally:
        server.shutdown()
