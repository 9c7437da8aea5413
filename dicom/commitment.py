"""Storage Commitment Push Model: requests and reports (PS3.4 J.3, PS3.3 C.14)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom.errors import InvalidHeader
from dicom.files import suppress_value_logging

EVENT_TYPES: Final = frozenset({1, 2})
"""Event Type IDs: request successful, failures exist (PS3.4 J.3.3.1)."""

_PROCESSING_FAILURE: Final = 0x0110
FAILURE_REASONS: Final = {
    _PROCESSING_FAILURE: "processing failure",
    0x0112: "no such object instance",
    0x0119: "the object has another SOP class",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


@dataclass(frozen=True)
class CommitmentReport:
    """The SOP Instance UIDs that a peer committed to store, and those that it did not."""

    transaction_uid: str
    committed: frozenset[str]
    failed: dict[str, int]
    """Failure Reason by SOP Instance UID."""


def build_commitment_request(
    transaction_uid: str, references: Iterable[tuple[str, str]]
) -> Dataset:
    """Return the Action Information of an N-ACTION (PS3.4 table J.3-1).

    ``references`` are pairs of SOP Class UID and SOP Instance UID.
    """
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        request.ReferencedSOPSequence.append(item)
    return request


def parse_commitment_report(information: Dataset) -> CommitmentReport:
    """Return the content of the Event Information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    The event type is ignored: some peers report failures with an empty list of them.

    Raises InvalidHeader when a Transaction UID or a referenced SOP Instance UID is missing or
    malformed.
    """
    suppress_value_logging()
    transaction_uid = _get_uid(information, "TransactionUID")
    failed = {
        _get_uid(item, "ReferencedSOPInstanceUID"): int(
            item.get("FailureReason") or _PROCESSING_FAILURE
        )
        for item in information.get("FailedSOPSequence") or ()
    }
    committed = {
        _get_uid(item, "ReferencedSOPInstanceUID")
        for item in information.get("ReferencedSOPSequence") or ()
    }
    return CommitmentReport(transaction_uid, frozenset(committed - failed.keys()), failed)


def _get_uid(dataset: Dataset, keyword: str) -> str:
    uid = UID(dataset.get(keyword) or "", validation_mode=IGNORE)
    if not uid.is_valid:
        raise InvalidHeader(keyword, "missing or not a UID")
    return str(uid)
