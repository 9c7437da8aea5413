"""Storage commitment with an SCP that can fail in every way."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
)

from dicom.commitment import CommitmentReport, build_commitment_request
from tests import peers
from tests.workers.archive import Archive, run_archive
from tests.workers.destinations.dimse.references import reference
from workers.destinations.dimse.association import AssociationRequestor
from workers.destinations.dimse.commitment_scu import request_commitment
from workers.destinations.kind import InstanceReference
from workers.errors import ServiceNotOffered

TRANSACTION, OLDER = "2.25.5", "2.25.4"


@dataclass
class FakeRequests:
    """A record of commitment requests without a database."""

    opened: dict[str, set[str]] = field(default_factory=dict)
    reports: dict[str, CommitmentReport] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    is_down: bool = False

    def open(self, sop_instance_uids: Collection[str]) -> str:
        self.opened[TRANSACTION] = set(sop_instance_uids)
        return TRANSACTION

    def close(self, transaction_uid: str, reason: str) -> None:
        self.closed[transaction_uid] = reason

    def record_report(self, report: CommitmentReport, calling_ae: str, address: str) -> bool:
        assert (calling_ae, address) == ("ARCHIVE", "127.0.0.1")
        if self.is_down:
            raise ConnectionError
        if report.transaction_uid not in self.opened:
            return False
        self.reports[report.transaction_uid] = report
        return True

    def find_report(self, transaction_uid: str) -> CommitmentReport | None:
        return self.reports.get(transaction_uid)


def commit(
    requestor: AssociationRequestor,
    instances: list[InstanceReference],
    requests: FakeRequests | None = None,
    *,
    seconds: float = 5,
) -> tuple[int | None, CommitmentReport | None]:
    return request_commitment(
        requestor, requests or FakeRequests(), instances, wait_seconds=seconds
    )


def test_a_commitment_names_every_object(images: list[Dataset]) -> None:
    archive, report = Archive(images), CommitmentReport(TRANSACTION, frozenset(), {})
    requests = FakeRequests(reports={TRANSACTION: report})  # as the listener writes it
    with run_archive(archive, StorageCommitmentPushModel) as requestor:
        answer = commit(requestor, [reference(each) for each in images], requests)
    assert answer == (0x0000, report)
    assert archive.request is not None
    assert archive.request.TransactionUID == TRANSACTION
    uids = [each.ReferencedSOPInstanceUID for each in archive.request.ReferencedSOPSequence]
    assert uids == [each.SOPInstanceUID for each in images]
    assert requests.opened == {TRANSACTION: set(uids)}


def test_a_report_on_the_association_of_the_request_is_recorded(images: list[Dataset]) -> None:
    archive = Archive(images[:1], reports_at_once=True)
    with run_archive(archive, StorageCommitmentPushModel) as requestor:
        answer = commit(requestor, [reference(each) for each in images])
    stored, lost = (str(each.SOPInstanceUID) for each in images)
    assert answer == (0x0000, CommitmentReport(TRANSACTION, frozenset({stored}), {lost: 0x0112}))
    assert archive.report_statuses == [0x0000]


def test_a_report_on_an_older_request_is_recorded_for_that_request(images: list[Dataset]) -> None:
    older = build_commitment_request(OLDER, [("1.2.3", "1.2.4")])
    archive = Archive(images, reports_at_once=True, other_reports=((1, older),))
    requests = FakeRequests(opened={OLDER: {"1.2.4"}})
    with run_archive(archive, StorageCommitmentPushModel) as requestor:
        status, report = commit(requestor, [reference(each) for each in images], requests)
    assert status == 0x0000
    assert report is not None
    assert report.committed == {str(each.SOPInstanceUID) for each in images}
    assert requests.reports[OLDER] == CommitmentReport(OLDER, frozenset({"1.2.4"}), {})
    assert archive.report_statuses == [0x0000, 0x0000]


def test_a_report_before_the_response_to_the_request_is_recorded(images: list[Dataset]) -> None:
    older = build_commitment_request(OLDER, [("1.2.3", "1.2.4")])
    archive = Archive(images, reports_at_once=True, early_report=older)
    requests = FakeRequests(opened={OLDER: {"1.2.4"}})
    with run_archive(archive, StorageCommitmentPushModel) as requestor:
        status, report = commit(requestor, [reference(each) for each in images], requests)
    assert status == 0x0000
    assert report is not None
    assert OLDER in requests.reports
    assert archive.report_statuses == [0x0000, 0x0000]


def status_of_report(
    images: list[Dataset], information: Dataset, event_type: int = 1, *, is_down: bool = False
) -> int:
    """Return the status of our response to a report on the association of another request."""
    archive, requests = (
        Archive(images, other_reports=((event_type, information),)),
        FakeRequests(is_down=is_down),
    )
    with run_archive(archive, StorageCommitmentPushModel) as requestor:
        assert commit(requestor, [reference(images[0])], requests, seconds=0.5) == (0x0000, None)
    peers.wait_until(lambda: bool(archive.report_statuses), seconds=5, what="the response")
    (status,) = archive.report_statuses
    assert requests.reports == {}
    return status


def test_a_report_with_an_unknown_transaction_uid_is_refused(images: list[Dataset]) -> None:
    assert (
        status_of_report(images, build_commitment_request("2.25.9", [("1.2.3", "1.2.4")])) == 0x0115
    )


def test_a_report_without_a_transaction_uid_is_refused(images: list[Dataset]) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    del information.TransactionUID
    assert status_of_report(images, information) == 0x0115


def test_an_unknown_event_type_is_refused(images: list[Dataset]) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    assert status_of_report(images, information, event_type=7) == 0x0113


def test_a_report_that_cannot_be_recorded_is_not_answered_with_success(
    images: list[Dataset],
) -> None:
    information = build_commitment_request(TRANSACTION, [("1.2.3", "1.2.4")])
    assert status_of_report(images, information, is_down=True) == 0x0110


def test_a_refused_request_is_closed(images: list[Dataset]) -> None:
    requests = FakeRequests()
    with run_archive(Archive(images, commitment=0x0110), StorageCommitmentPushModel) as requestor:
        assert commit(requestor, [reference(images[0])], requests) == (0x0110, None)
    assert requests.closed == {TRANSACTION: "refused with status 0x0110"}


def test_a_report_that_does_not_arrive_is_none(images: list[Dataset]) -> None:
    requests = FakeRequests()
    with run_archive(Archive(images), StorageCommitmentPushModel) as requestor:
        assert commit(requestor, [reference(images[0])], requests, seconds=0) == (0x0000, None)
    assert requests.closed == {}


def test_no_request_is_recorded_if_commitment_is_not_offered(images: list[Dataset]) -> None:
    requests = FakeRequests()
    with run_archive(Archive(images)) as requestor, pytest.raises(ServiceNotOffered):
        commit(requestor, [reference(images[0])], requests)
    assert requests.opened == {}
