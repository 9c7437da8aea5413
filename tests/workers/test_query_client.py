"""C-FIND, C-GET and storage commitment with an SCP that can be told what to say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    UltrasoundImageStorage,
)

from dicom.commitment import CommitmentReport
from tests import peers
from tests.workers.painted import picture, write
from workers.errors import NothingAccepted
from workers.query_client import Instance, find, get, request_commitment
from workers.store_client import Call, Peer

Answers = Iterator[tuple[int, Dataset | None]]


@dataclass
class Archive:
    """Holds some data sets; ``sends`` names the classes that its C-GET sends."""

    held: list[Dataset]
    sends: tuple[str, ...] = (UltrasoundImageStorage,)
    commitment: int = 0x0000
    reports_at_once: bool = False
    asked: Dataset | None = None
    status_of_report: int | None = None

    def find(self, event: evt.Event) -> Answers:
        for held in self._matching(event):
            match = Dataset()
            match.SOPInstanceUID = held.SOPInstanceUID
            yield 0xFF00, match
        yield 0x0000, None

    def get(self, event: evt.Event) -> Iterator[int | tuple[int, Dataset | None]]:
        matching = self._matching(event)
        yield len(matching)
        for held in matching:
            yield 0xFF00, held

    def commit(self, event: evt.Event) -> tuple[int, None]:
        self.asked = event.action_information
        if self.reports_at_once:
            Thread(target=self._report, args=(event.assoc, self.asked)).start()
        return self.commitment, None

    def _report(self, association: Association, asked: Dataset) -> None:
        """After the answer to the request went out, on the same association."""
        report, held = Dataset(), {each.SOPInstanceUID for each in self.held}
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for each in asked.ReferencedSOPSequence:
            if each.ReferencedSOPInstanceUID in held:
                report.ReferencedSOPSequence.append(each)
            else:
                each.FailureReason = 0x0112
                report.FailedSOPSequence.append(each)
        status, _ = association.send_n_event_report(
            report, 2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        self.status_of_report = status.Status

    def _matching(self, event: evt.Event) -> list[Dataset]:
        wanted = event.identifier
        assert wanted.QueryRetrieveLevel == "IMAGE"
        return [each for each in self.held if each.SOPInstanceUID == wanted.SOPInstanceUID]


@contextmanager
def served(archive: Archive, *services: str) -> Iterator[Call]:
    ae = AE(ae_title="ARCHIVE")
    for service in services:
        ae.add_supported_context(service)
    for sop_class in archive.sends:
        ae.add_supported_context(sop_class, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_FIND, archive.find),
        (evt.EVT_C_GET, archive.get),
        (evt.EVT_N_ACTION, archive.commit),
    ]
    port = peers.free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield Call(Peer("ARCHIVE", "127.0.0.1", port), "SONOGATE", 5.0, 5.0)
    finally:
        server.shutdown()


@pytest.fixture
def images(tmp_path: Path) -> list[Dataset]:
    return [dcmread(write(tmp_path / f"{n}.dcm", picture(), number=n)) for n in (1, 2)]


def named(dataset: Dataset) -> Instance:
    return Instance(
        str(dataset.SOPClassUID),
        str(ExplicitVRLittleEndian),
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
    )


def test_only_what_the_peer_holds_is_found(images: list[Dataset]) -> None:
    archive = Archive(images[:1])
    with served(archive, StudyRootQueryRetrieveInformationModelFind) as call:
        assert find(call, [named(each) for each in images]) == {images[0].SOPInstanceUID}


def test_what_comes_back_has_its_bytes_and_what_does_not_come_is_none(
    images: list[Dataset], tmp_path: Path
) -> None:
    with served(Archive(images[:1]), StudyRootQueryRetrieveInformationModelGet) as call:
        brought = get(call, [named(each) for each in images])
    assert set(brought) == {str(each.SOPInstanceUID) for each in images}
    content = brought[str(images[0].SOPInstanceUID)]
    assert content is not None
    assert (tmp_path / "1.dcm").read_bytes().endswith(content)
    assert len(content) > images[0].Rows * images[0].Columns
    assert brought[str(images[1].SOPInstanceUID)] is None


def test_a_class_that_the_peer_never_sends_is_left_out(images: list[Dataset]) -> None:
    with served(Archive(images, sends=()), StudyRootQueryRetrieveInformationModelGet) as call:
        assert get(call, [named(images[0])]) == {}


TRANSACTION = "2.25.5"


def commit(
    call: Call,
    instances: list[Instance],
    arrived: Callable[[], CommitmentReport | None] = lambda: None,
) -> tuple[int | None, CommitmentReport | None]:
    return request_commitment(call, TRANSACTION, instances, arrived=arrived, seconds=5)


def test_a_commitment_names_every_object(images: list[Dataset]) -> None:
    archive, report = Archive(images), CommitmentReport(TRANSACTION, frozenset(), {})
    with served(archive, StorageCommitmentPushModel) as call:
        told = commit(call, [named(each) for each in images], lambda: report)
    assert told == (0x0000, report)
    assert archive.asked is not None
    assert archive.asked.TransactionUID == TRANSACTION
    assert [each.ReferencedSOPInstanceUID for each in archive.asked.ReferencedSOPSequence] == [
        each.SOPInstanceUID for each in images
    ]


def test_a_report_on_the_association_of_the_request_is_heard(images: list[Dataset]) -> None:
    archive = Archive(images[:1], reports_at_once=True)
    with served(archive, StorageCommitmentPushModel) as call:
        told = commit(call, [named(each) for each in images])
    kept, lost = (str(each.SOPInstanceUID) for each in images)
    assert told == (0x0000, CommitmentReport(TRANSACTION, frozenset({kept}), {lost: 0x0112}))
    assert archive.status_of_report == 0x0000


def test_a_request_that_is_refused_waits_for_nothing(images: list[Dataset]) -> None:
    with served(Archive(images, commitment=0x0110), StorageCommitmentPushModel) as call:
        assert commit(call, [named(images[0])]) == (0x0110, None)


def test_a_report_that_does_not_come_is_none(images: list[Dataset]) -> None:
    with served(Archive(images), StorageCommitmentPushModel) as call:
        told = request_commitment(
            call, TRANSACTION, [named(images[0])], arrived=lambda: None, seconds=0
        )
    assert told == (0x0000, None)


@pytest.mark.parametrize("ask", [find, get, commit])
def test_a_service_that_is_not_offered_is_told_from_an_empty_answer(
    images: list[Dataset], ask: Callable[[Call, list[Instance]], object]
) -> None:
    with served(Archive(images)) as call, pytest.raises(NothingAccepted):
        ask(call, [named(images[0])])
