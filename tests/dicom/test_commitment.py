import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom.commitment import CommitmentReport, build_commitment_request, parse_commitment_report
from dicom.errors import InvalidHeader

CLASS = "1.2.840.10008.5.1.4.1.1.66.4"


def reference(uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CLASS
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item


def report(committed: list[str], failed: dict[str, int]) -> Dataset:
    information = Dataset()
    information.TransactionUID = "1.2.3"
    information.ReferencedSOPSequence = [reference(uid) for uid in committed]
    information.FailedSOPSequence = [reference(uid, reason) for uid, reason in failed.items()]
    return information


def test_a_request_contains_transaction_classes_and_instances() -> None:
    request = build_commitment_request("1.2.3", [(CLASS, "1.2.4"), (CLASS, "1.2.5")])
    assert request.TransactionUID == "1.2.3"
    references = [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for item in request.ReferencedSOPSequence
    ]
    assert references == [(CLASS, "1.2.4"), (CLASS, "1.2.5")]


def test_a_report_contains_committed_objects_and_failure_reasons() -> None:
    read = parse_commitment_report(report(["1.2.4"], {"1.2.5": 0x0112}))
    assert read == CommitmentReport("1.2.3", frozenset({"1.2.4"}), {"1.2.5": 0x0112})


def test_an_object_in_both_lists_is_not_committed() -> None:
    read = parse_commitment_report(report(["1.2.4", "1.2.5"], {"1.2.5": 0x0112}))
    assert read.committed == {"1.2.4"}


def test_a_report_without_lists_commits_to_nothing() -> None:
    information = Dataset()
    information.TransactionUID = "1.2.3"
    assert parse_commitment_report(information) == CommitmentReport("1.2.3", frozenset(), {})


def test_a_failure_without_a_reason_is_a_processing_failure() -> None:
    information = report([], {})
    information.FailedSOPSequence = [reference("1.2.5")]
    assert parse_commitment_report(information).failed == {"1.2.5": 0x0110}


@pytest.mark.parametrize("keyword", ["TransactionUID", "ReferencedSOPInstanceUID"])
def test_a_missing_or_malformed_uid_is_named_and_not_quoted(keyword: str) -> None:
    for value in ("", "SECRET^NAME"):
        information = report(["1.2.4"], {})
        where = information if keyword in information else information.ReferencedSOPSequence[0]
        where[keyword] = DataElement(keyword, "UI", value, validation_mode=IGNORE)
        with pytest.raises(InvalidHeader, match=keyword) as raised:
            parse_commitment_report(information)
        assert "SECRET" not in str(raised.value)
