"""Storage commitment requests and the reports on them (DICOM PS3.4 Annex J)."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, intake
from db.audit_tags import AuditTag
from db.intake import Sender
from db.schema import Commitment


def record_request(
    session: Session,
    transaction_uid: str,
    destination: str,
    sop_instance_uids: Collection[str],
    *,
    now: datetime,
) -> Commitment:
    """Add a request. Commit it before sending: the report may arrive at once."""
    commitment = Commitment(
        transaction_uid=transaction_uid,
        destination=destination,
        requested=sorted(sop_instance_uids),
        requested_at=now,
    )
    session.add(commitment)
    audit.append(
        session,
        AuditTag.COMMITMENT_ASKED,
        actor=AuditTag.COMMITMENT_ASKED.source,
        now=now,
        transaction_uid=transaction_uid,
        destination=destination,
        objects=len(sop_instance_uids),
    )
    return commitment


def close_request(session: Session, transaction_uid: str, reason: str, *, now: datetime) -> None:
    """Record that the request was refused or not answered, so that no report is expected.

    A report that arrives later is still recorded. A request that has its report stays unchanged.
    """
    row = find_request(session, transaction_uid, lock=True)
    if row is None or row.answered_at is not None:
        return
    row.committed, row.failure_reasons, row.answered_at = [], {}, now
    audit.append(
        session,
        AuditTag.COMMITMENT_ENDED,
        actor=AuditTag.COMMITMENT_ENDED.source,
        now=now,
        transaction_uid=transaction_uid,
        destination=row.destination,
        reason=reason,
    )


def record_report(
    session: Session,
    transaction_uid: str,
    committed: frozenset[str],
    failed: Mapping[str, int],
    *,
    tag: AuditTag,
    sender: Sender,
    now: datetime,
) -> bool:
    """Record the report on a request; return False if the Transaction UID is unknown.

    UIDs that were not in the request are ignored. A repeated report changes nothing. A different
    one replaces the first, and both are in the audit log.

    Args:
        failed: Failure Reason (0008,1197) by SOP Instance UID.
        tag: `LISTENER_COMMITMENT_ANSWERED` for a report on an association of its own,
            `SONOGATE_COMMITMENT_ANSWERED` for one on the association of the request.
    """
    row = find_request(session, transaction_uid, lock=True)
    if row is None:
        return False
    of_request = sorted(committed & set(row.requested))
    reasons = {uid: failed[uid] for uid in row.requested if uid in failed}
    if row.answered_at is not None and (row.committed, row.failure_reasons) == (
        of_request,
        reasons,
    ):
        return True
    row.committed, row.failure_reasons, row.answered_at = of_request, reasons, now
    audit.append(
        session,
        tag,
        actor=tag.source,
        now=now,
        calling_ae=sender.calling_ae,
        address=sender.address,
        transaction_uid=row.transaction_uid,
        destination=row.destination,
        objects=len(row.requested),
        committed=row.committed,
        failed=row.failure_reasons,
    )
    intake.count_event(session, sender, "commitment-answered", now)
    return True


def find_request(
    session: Session, transaction_uid: str, *, lock: bool = False
) -> Commitment | None:
    query = select(Commitment).where(Commitment.transaction_uid == transaction_uid)
    return session.scalar(query.with_for_update() if lock else query)
