"""An archive that finds, gives back and commits itself, and can be told to do each of it badly."""

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


def _untouched(_dataset: Dataset) -> None:
    """What most archives do to what they take."""


@dataclass
class Archive:
    """Holds some data sets; ``sends`` names the classes that it takes and that its C-GET sends."""

    held: list[Dataset] = field(default_factory=list)
    sends: tuple[str, ...] = (UltrasoundImageStorage,)
    coerce: Callable[[Dataset], None] = _untouched
    store_status: int = 0x0000
    find_status: int = 0x0000
    get_status: int = 0x0000
    finds_from: int = 1
    """The first C-FIND that finds anything: it indexes late."""
    breaks_off_at: int = 0
    """The C-FIND at which it aborts the association; 0: at none."""
    commitment: int = 0x0000
    tells: tuple[tuple[int, Dataset], ...] = ()
    """Reports of its own, as event type and information, before the one on a request."""
    reports_at_once: bool = False
    crosses: Dataset | None = None
    """A report that it wants answered before it answers the request for commitment."""
    finds: int = 0
    asked: Dataset | None = None
    statuses_of_reports: list[int] = field(default_factory=list)

    def store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.coerce(dataset)
        self.held.append(dataset)
        return self.store_status

    def find(self, event: evt.Event) -> Answers:
        self.finds += 1
        if self.finds == self.breaks_off_at:
            event.assoc.abort()
            return
        for held in self._matching(event) if self.finds >= self.finds_from else ():
            match = Dataset()
            match.SOPInstanceUID = held.SOPInstanceUID
            yield 0xFF00, match
        yield self.find_status, None

    def get(self, event: evt.Event) -> Iterator[int | tuple[int, Dataset | None]]:
        matching = self._matching(event)
        yield len(matching)
        if self.get_status:
            yield self.get_status, None
            return
        for held in matching:
            yield 0xFF00, held

    def commit(self, event: evt.Event) -> tuple[int, None]:
        self.asked = event.action_information
        if self.crosses is not None:
            self._cross(event.assoc, event.context.context_id, self.crosses)
        if self.reports_at_once or self.tells:
            Thread(target=self._report, args=(event.assoc, self.asked)).start()
        return self.commitment, None

    def _cross(self, association: Association, context_id: int | None, report: Dataset) -> None:
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
        self.statuses_of_reports.append(answer.Status)

    def _report(self, association: Association, asked: Dataset) -> None:
        """After the answer to the request went out, on the same association."""
        own = ((2, self.report_on(asked)),) if self.reports_at_once else ()
        for event_type, information in (*self.tells, *own):
            status, _ = association.send_n_event_report(
                information,
                event_type,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
            self.statuses_of_reports.append(status.Status)

    def report_on(self, asked: Dataset) -> Dataset:
        report, held = Dataset(), {each.SOPInstanceUID for each in self.held}
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
        return [each for each in self.held if each.SOPInstanceUID == wanted.SOPInstanceUID]


@contextmanager
def served(archive: Archive, *services: str) -> Iterator[AssociationRequestor]:
    ae = AE(ae_title="ARCHIVE")
    for service in (Verification, *services):
        ae.add_supported_context(service)
    for sop_class in archive.sends:
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
