"""Storage commitment requests of one destination, stored in the database.

The listener stores a report that arrives on an association of its own in the same rows.
"""

from collections.abc import Collection
from dataclasses import dataclass

from pydicom.uid import generate_uid

from db import commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.types import now_utc
from dicom.commitment import CommitmentReport


@dataclass(frozen=True)
class CommitmentRequests:
    """Requests to one destination; implements `workers.destinations.kind.CommitmentLog`."""

    database: Database
    destination: str

    def open(self, sop_instance_uids: Collection[str]) -> str:
        """Store a request that is about to be sent, and return its Transaction UID."""
        transaction_uid = str(generate_uid(prefix=None))
        with self.database.write() as session:
            commitments.record_request(
                session, transaction_uid, self.destination, sop_instance_uids,
                now=now_utc(),
            )  # fmt: skip
        return transaction_uid

    def find_report(self, transaction_uid: str) -> CommitmentReport | None:
        """Return the report on a request, or None if none has arrived."""
        with self.database.read() as session:
            row = commitments.find_request(session, transaction_uid)
            if row is None or row.answered_at is None:
                return None
            return CommitmentReport(
                transaction_uid, frozenset(row.committed or ()), row.failure_reasons or {}
            )

    def close(self, transaction_uid: str, reason: str) -> None:
        """Close a request that was refused or not answered."""
        with self.database.write() as session:
            commitments.close_request(session, transaction_uid, reason, now=now_utc())

    def record_report(self, report: CommitmentReport, calling_ae: str, address: str) -> bool:
        """Store a report that arrived on the association of a request.

        Returns False if no request has its Transaction UID.
        """
        with self.database.write() as session:
            return commitments.record_report(
                session, report.transaction_uid, report.committed, report.failed,
                tag=AuditTag.SONOGATE_COMMITMENT_ANSWERED,
                sender=Sender(calling_ae, address), now=now_utc(),
            )  # fmt: skip
