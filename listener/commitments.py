"""Record storage commitment reports that a PACS sends on its own associations."""

from db import commitments
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.types import now_utc
from dicom.commitment import CommitmentReport
from listener.errors import UnknownTransaction


def record_report(database: Database, report: CommitmentReport, sender: Sender) -> None:
    """Commit a report. The listener may answer Success once this returns.

    Raises:
        UnknownTransaction: Sonogate did not send the request.
        SQLAlchemyError: The database is not available.
    """
    with database.write() as session:
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
