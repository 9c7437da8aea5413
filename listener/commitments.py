"""What a PACS says, on an association of its own, of objects that it was asked to keep."""

from dataclasses import dataclass

from db import commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.types import now_utc
from dicom.commitment import CommitmentReport
from listener.errors import UnknownTransaction


@dataclass(frozen=True)
class Commitments:
    """Rows of requests, waiting for their answers."""

    database: Database

    def keep(self, report: CommitmentReport, sender: Sender) -> None:
        """Once this returns, Success may be answered.

        Raises:
            UnknownTransaction: nobody here asked.
            SQLAlchemyError: the database is down.
        """
        with self.database.write() as session:
            known = commitments.record_report(
                session,
                report.transaction_uid,
                report.committed,
                report.failed,
                tag=AuditTag.LISTENER_COMMITMENT_ANSWERED,
                sender=sender,
                now=now_utc(),
            )
        if not known:
            raise UnknownTransaction
