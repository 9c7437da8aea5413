"""What happened to one object at the destination: stored, found, retrieved, committed."""

import enum
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.commitment import FAILURE_REASONS, CommitmentReport
from dicom.differences import find_differences
from dicom.errors import DicomError
from dicom.files import read_dataset
from workers.destinations.kind import RetrieveResult

GROUP_LENGTH_OFFSET: Final = 140
"""Offset in a file of the value of File Meta Information Group Length (PS3.10 7.1)."""
SAME_VALUES: Final = "all attributes are equal; only the encoding differs"


class Retrieval(enum.StrEnum):
    """How an object that C-GET returned compares with the one sent."""

    IDENTICAL = "retrieved with identical bytes"
    DIFFERENT = "retrieved with DIFFERENT bytes"
    MISSING = "NOT retrieved"


@dataclass(frozen=True)
class RoundTrip:
    """The outcome for one object.

    None means that the destination does not offer the service or did not answer.
    """

    spec: str
    problem: str = ""
    """Why it was not stored."""
    warning_status: int = 0x0000
    """Status of C-STORE if it was stored with a warning."""
    found: bool | None = None
    retrieval: Retrieval | None = None
    differences: tuple[str, ...] = ()
    """Attributes of the retrieved object that differ from those sent."""
    committed: bool | None = None
    commitment_failure: str = ""
    """Why the destination did not commit to store the object."""
    failures: tuple[str, ...] = ()
    """C-FIND and C-GET requests that did not end with success."""

    @property
    def passed(self) -> bool:
        stored = not self.problem and self.found is not False and self.committed is not False
        return stored and not self.failures and self.retrieval in (None, Retrieval.IDENTICAL)

    @property
    def failure(self) -> str:
        """Why the object did not pass; empty if it did."""
        if self.problem:
            return f"not stored: {self.problem}"
        reasons = list(self.failures)
        if self.found is False:
            reasons.append("not found")
        if self.retrieval not in (None, Retrieval.IDENTICAL):
            reasons.append(str(self.retrieval))
        if self.committed is False:
            reasons.append(": ".join(filter(None, ("not committed", self.commitment_failure))))
        return ", ".join(reasons)


def compare_retrieved(
    sent: Path, retrieved: RetrieveResult | None
) -> tuple[Retrieval | None, list[str]]:
    """Compare a retrieved data set with the file sent, and list the attributes that differ.

    The list quotes values, so this is for phantom studies only.
    """
    if retrieved is None or (retrieved.problem and retrieved.content is None):
        return None, []
    if retrieved.content is None:
        return Retrieval.MISSING, []
    file_meta, dataset = _split_file(sent)
    if retrieved.content == dataset:
        return Retrieval.IDENTICAL, []
    path = sent.with_suffix(".retrieved")
    path.write_bytes(file_meta + retrieved.content)
    try:
        return (
            Retrieval.DIFFERENT,
            find_differences(read_dataset(sent), read_dataset(path)) or [SAME_VALUES],
        )
    except DicomError as error:
        return Retrieval.DIFFERENT, [str(error)]


def find_commitment_failure(report: CommitmentReport | None, sop_instance_uid: str) -> str:
    """Return why an object is not committed; empty if it is, or if there is no report."""
    if report is None or sop_instance_uid in report.committed:
        return ""
    reason = report.failed.get(sop_instance_uid)
    if reason is None:
        return "the report does not list the object"
    return FAILURE_REASONS.get(reason, f"failure reason 0x{reason:04X}")


def _split_file(path: Path) -> tuple[bytes, bytes]:
    """Return the file meta information, which C-STORE does not send, and the data set."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<L", content, GROUP_LENGTH_OFFSET)
    start = GROUP_LENGTH_OFFSET + 4 + length
    return content[:start], content[start:]
