"""Requests for storage commitment: written down here, answered through the listener."""

from collections.abc import Collection
from dataclasses import dataclass

from pydicom.uid import generate_uid

from db import commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.types import now_utc
from dicom.commitment import CommitmentReport
from workers.peers.store_scu import Peer


@dataclass(frozen=True)
class Ledger:
    """What one destination was asked to keep: a `workers.peers.query_scu.CommitmentBook`."""

    database: Database
    destination: str
    peer: Peer

    def ask(self, sop_instance_uids: Collection[str]) -> str:
        """Write a request down and return its Transaction UID."""
        transaction_uid = str(generate_uid(prefix=None))
        with self.database.write() as session:
            commitments.record_request(
                session, transaction_uid, self.destination, sop_instance_uids,
                now=now_utc(),
            )  # fmt: skip
        return transaction_uid

    def answer(self, transaction_uid: str) -> CommitmentReport | None:
        """What has come so far."""
        with self.database.read() as session:
            row = commitments.find_request(session, transaction_uid)
            if row is None or row.answered_at is None:
                return None
            return CommitmentReport(
                transaction_uid, frozenset(row.committed or ()), row.failure_reasons or {}
            )

    def ended(self, transaction_uid: str, reason: str) -> None:
        """Close a request that got no further."""
        with self.database.write() as session:
            commitments.close_request(session, transaction_uid, reason, now=now_utc())

    def keep(self, report: CommitmentReport) -> bool:
        """Write down a report that came by the association of a request, in the row of its own
        transaction. False: nobody asked with that.
        """
        with self.database.write() as session:
            return commitments.record_report(
                session, report.transaction_uid, report.committed, report.failed,
                tag=AuditTag.SONOGATE_COMMITMENT_ANSWERED,
                sender=Sender(self.peer.ae_title, self.peer.host), now=now_utc(),
            )  # fmt: skip
