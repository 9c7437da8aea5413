"""Storage commitment, push model: what is asked and what is answered (PS3.4 J.3, PS3.3 C.14)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom.errors import InvalidHeader
from dicom.files import suppress_value_logging

EVENT_TYPES: Final = frozenset({1, 2})
"""Event Type IDs: all were committed; there are failures (PS3.4 J.3.3.1)."""

FAILURE_REASONS: Final = {
    0x0110: "processing failure",
    0x0112: "it has no such object",
    0x0119: "it has the object under another SOP class",
    0x0122: "it does not commit itself to this SOP class",
    0x0131: "the transaction was asked for twice",
    0x0213: "out of resources",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


@dataclass(frozen=True)
class CommitmentReport:
    """What a peer says that it keeps, and what it does not; by SOP Instance UID."""

    transaction_uid: str
    committed: frozenset[str]
    failed: dict[str, int]
    """Failure Reason by SOP Instance UID."""


def commitment_request(transaction_uid: str, references: Iterable[tuple[str, str]]) -> Dataset:
    """Return the Action Information of an N-ACTION (PS3.4 table J.3-1).

    ``references`` are pairs of SOP Class UID and SOP Instance UID.
    """
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_reference(*each) for each in references]
    return request


def read_commitment_report(information: Dataset) -> CommitmentReport:
    """Read the Event Information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    Some peers send the type of event for failures with an empty list of them, so the lists alone
    count. Raises InvalidHeader when the Transaction UID or a reference's UID is missing or none.
    """
    suppress_value_logging()
    transaction_uid = _valid(information, "TransactionUID")
    failed = {
        _uid(item): int(item.get("FailureReason") or 0x0110)
        for item in _items(information, "FailedSOPSequence")
    }
    kept = frozenset(_uid(item) for item in _items(information, "ReferencedSOPSequence"))
    return CommitmentReport(transaction_uid, kept - failed.keys(), failed)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _items(information: Dataset, keyword: str) -> Iterator[Dataset]:
    yield from information.get(keyword) or ()


def _uid(item: Dataset) -> str:
    return _valid(item, "ReferencedSOPInstanceUID")


def _valid(dataset: Dataset, keyword: str) -> str:
    uid = UID(dataset.get(keyword) or "", validation_mode=IGNORE)
    if not uid.is_valid:
        raise InvalidHeader(keyword, "missing or not a UID")
    return str(uid)
