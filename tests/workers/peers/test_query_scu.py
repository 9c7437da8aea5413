"""C-FIND, C-GET and storage commitment with an SCP that can be told what to say."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from dicom.commitment import CommitmentReport, build_commitment_request
from tests import peers
from tests.workers.archive import Archive, served
from tests.workers.painted import picture, write
from workers.errors import ServiceNotOffered
from workers.peers.query_scu import Brought, Found, Instance, find, get, request_commitment
from workers.peers.store_scu import Call, Peer

TRANSACTION, OLDER = "2.25.5", "2.25.4"


@dataclass
class Book:
    """A book of requests without a database."""

    asked: dict[str, set[str]] = field(default_factory=dict)
    reports: dict[str, CommitmentReport] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    is_down: bool = False

    def ask(self, sop_instance_uids: Collection[str]) -> str:
        self.asked[TRANSACTION] = set(sop_instance_uids)
        return TRANSACTION

    def ended(self, transaction_uid: str, reason: str) -> None:
        self.ends[transaction_uid] = reason

    def keep(self, report: CommitmentReport) -> bool:
        if self.is_down:
            raise ConnectionError
        if report.transaction_uid not in self.asked:
            return False
        self.reports[report.transaction_uid] = report
        return True

    def answer(self, transaction_uid: str) -> CommitmentReport | None:
        return self.reports.get(transaction_uid)


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


def found_at(archive: Archive, images: list[Dataset], *, seconds: float = 0) -> tuple[Found, ...]:
    with served(archive, StudyRootQueryRetrieveInformationModelFind) as call:
        found = find(call, [named(each) for each in images], seconds=seconds)
    return tuple(found[str(each.SOPInstanceUID)] for each in images)


def brought_from(archive: Archive, images: list[Dataset]) -> tuple[Brought, ...]:
    with served(archive, StudyRootQueryRetrieveInformationModelGet) as call:
        brought = get(call, [named(each) for each in images])
    assert set(brought) == {str(each.SOPInstanceUID) for each in images}
    return tuple(brought[str(each.SOPInstanceUID)] for each in images)


def test_only_what_the_peer_holds_is_found(images: list[Dataset]) -> None:
    assert found_at(Archive(images[:1]), images) == (Found(True), Found(False))


def test_what_a_peer_indexes_late_is_asked_for_again(images: list[Dataset]) -> None:
    late = Archive(images, finds_from=3)
    assert found_at(late, images, seconds=20) == (Found(True), Found(True))
    assert late.finds == 4


def test_what_is_never_found_is_given_up(images: list[Dataset]) -> None:
    archive = Archive()
    assert found_at(archive, images, seconds=0.1) == (Found(False), Found(False))
    assert archive.finds == 4


def test_a_query_that_fails_is_told_with_its_status_and_not_repeated(
    images: list[Dataset],
) -> None:
    archive = Archive(find_status=0xA900)
    words = "C-FIND ended with status 0xA900: Identifier Does Not Match SOP Class"
    assert found_at(archive, images, seconds=20) == (Found(False, words),) * 2
    assert archive.finds == 2


def test_a_query_that_breaks_off_keeps_what_was_found_before(images: list[Dataset]) -> None:
    words = "C-FIND: no answer, the peer timed out or broke off"
    found = found_at(Archive(images, breaks_off_at=2), images, seconds=20)
    assert found == (Found(True), Found(False, words))


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_peer_that_went_away_is_a_problem_of_every_object(
    images: list[Dataset], free_port: int
) -> None:
    call = Call(Peer("GONE", "127.0.0.1", free_port), "SONOGATE", 5, 5)
    instances = [named(each) for each in images]
    problems = [each.problem for each in find(call, instances, seconds=20).values()]
    problems += [each.problem for each in get(call, instances).values()]
    assert len(problems) == 4
    assert all("nothing answers at 127.0.0.1" in problem for problem in problems)


def test_what_comes_back_has_its_bytes_and_what_does_not_come_is_none(
    images: list[Dataset], tmp_path: Path
) -> None:
    came, away = brought_from(Archive(images[:1]), images)
    assert came.content is not None
    assert (tmp_path / "1.dcm").read_bytes().endswith(came.content)
    assert len(came.content) > images[0].Rows * images[0].Columns
    assert away == Brought(None)


def test_a_retrieval_that_fails_is_told_with_its_status(images: list[Dataset]) -> None:
    first, second = brought_from(Archive(images, get_status=0xA702), images)
    assert first == second
    assert first.content is None
    assert first.problem.startswith("C-GET ended with status 0xA702: ")


def test_a_class_that_the_peer_never_sends_is_left_out(images: list[Dataset]) -> None:
    with served(Archive(images, sends=()), StudyRootQueryRetrieveInformationModelGet) as call:
        assert get(call, [named(images[0])]) == {}


def commit(
    call: Call, instances: list[Instance], book: Book | None = None, *, seconds: float = 5
) -> tuple[int | None, CommitmentReport | None]:
    return request_commitment(call, book or Book(), instances, seconds=seconds)


def test_a_commitment_names_every_object(images: list[Dataset]) -> None:
    archive, report = Archive(images), CommitmentReport(TRANSACTION, frozenset(), {})
    book = Book(reports={TRANSACTION: report})  # as the listener writes it
    with served(archive, StorageCommitmentPushModel) as call:
        told = commit(call, [named(each) for each in images], book)
    assert told == (0x0000, report)
    assert archive.asked is not None
    assert archive.asked.TransactionUID == TRANSACTION
    uids = [each.ReferencedSOPInstanceUID for each in archive.asked.ReferencedSOPSequence]
    assert uids == [each.SOPInstanceUID for each in images]
    assert book.asked == {TRANSACTION: set(uids)}


def test_a_report_on_the_association_of_the_request_is_heard(images: list[Dataset]) -> None:
    archive = Archive(images[:1], reports_at_once=True)
    with served(archive, StorageCommitmentPushModel) as call:
        told = commit(call, [named(each) for each in images])
    kept, lost = (str(each.SOPInstanceUID) for each in images)
    assert told == (0x0000, CommitmentReport(TRANSACTION, frozenset({kept}), {lost: 0x0112}))
    assert archive.statuses_of_reports == [0x0000]


def test_a_report_on_an_older_request_goes_where_it_belongs(images: list[Dataset]) -> None:
    older = build_commitment_request(OLDER, [("1.2.3", "1.2.4")])
    archive = Archive(images, reports_at_once=True, tells=((1, older),))
    book = Book(asked={OLDER: {"1.2.4"}})
    with served(archive, StorageCommitmentPushModel) as call:
        status, report = commit(call, [named(each) for each in images], book)
    assert status == 0x0000
    assert report is not None
    assert report.committed == {str(each.SOPInstanceUID) for each in images}
    assert book.reports[OLDER] == CommitmentReport(OLDER, frozenset({"1.2.4"}), {})
    assert archive.statuses_of_reports == [0x0000, 0x0000]


def test_a_report_that_crosses_the_request_is_heard(images: list[Dataset]) -> None:
    older = build_commitment_request(OLDER, [("1.2.3", "1.2.4")])
    archive = Archive(images, reports_at_once=True, crosses=older)
    book = Book(asked={OLDER: {"1.2.4"}})
    with served(archive, StorageCommitmentPushModel) as call:
        status, report = commit(call, [named(each) for each in images], book)
    assert status == 0x0000
    assert report is not None
    assert OLDER in book.reports
    assert archive.statuses_of_reports == [0x0000, 0x0000]


def told_by(
    images: list[Dataset], information: Dataset, event_type: int = 1, *, is_down: bool = False
) -> int:
    """The status that we answer to a report, on the association of a request, that is not its."""
    archive, book = Archive(images, tells=((event_type, information),)), Book(is_down=is_down)
    with served(archive, StorageCommitmentPushModel) as call:
        assert commit(call, [named(images[0])], book, seconds=0.5) == (0x0000, None)
    peers.wait_until(lambda: bool(archive.statuses_of_reports), seconds=5, what="the answer")
    (status,) = archive.statuses_of_reports
    assert book.reports == {}
    return status


def test_a_report_that_nobody_asked_for_is_refused(images: list[Dataset]) -> None:
    assert told_by(images, build_commitment_request("2.25.9", [("1.2.3", "1.2.4")])) == 0x0115


def test_a_report_without_a_transaction_is_refused(images: list[Dataset]) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    del information.TransactionUID
    assert told_by(images, information) == 0x0115


def test_another_event_is_refused(images: list[Dataset]) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    assert told_by(images, information, event_type=7) == 0x0113


def test_a_report_that_cannot_be_written_down_is_no_success(images: list[Dataset]) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    assert told_by(images, information, is_down=True) == 0x0110


def test_a_request_that_is_refused_waits_for_nothing(images: list[Dataset]) -> None:
    book = Book()
    with served(Archive(images, commitment=0x0110), StorageCommitmentPushModel) as call:
        assert commit(call, [named(images[0])], book) == (0x0110, None)
    assert book.ends == {TRANSACTION: "refused with status 0x0110"}


def test_a_report_that_does_not_come_is_none(images: list[Dataset]) -> None:
    book = Book()
    with served(Archive(images), StorageCommitmentPushModel) as call:
        assert commit(call, [named(images[0])], book, seconds=0) == (0x0000, None)
    assert book.ends == {}


def test_nothing_is_noted_as_asked_where_commitment_is_not_offered(images: list[Dataset]) -> None:
    book = Book()
    with served(Archive(images)) as call, pytest.raises(ServiceNotOffered):
        commit(call, [named(images[0])], book)
    assert book.asked == {}


def find_at_once(call: Call, instances: list[Instance]) -> object:
    return find(call, instances, seconds=0)


@pytest.mark.parametrize("ask", [find_at_once, get, commit])
def test_a_service_that_is_not_offered_is_told_from_an_empty_answer(
    images: list[Dataset], ask: Callable[[Call, list[Instance]], object]
) -> None:
    with served(Archive(images)) as call, pytest.raises(ServiceNotOffered):
        ask(call, [named(images[0])])
