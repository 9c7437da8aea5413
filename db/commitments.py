"""Storage commitment in rows: what a PACS was asked to keep, and what it said."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, intake
from db.intake import Sender
from db.schema import Commitment


def ask(
    session: Session,
    transaction_uid: str,
    destination: str,
    sop_instance_uids: Collection[str],
    *,
    actor: str,
    now: datetime,
) -> Commitment:
    """Note a request right before it is sent: the answer may be faster than a commit after it."""
    commitment = Commitment(
        transaction_uid=transaction_uid,
        destination=destination,
        requested=sorted(sop_instance_uids),
        requested_at=now,
    )
    session.add(commitment)
    audit.append(
        session,
        f"{actor}:commitment:asked",
        actor=actor,
        now=now,
        transaction_uid=transaction_uid,
        destination=destination,
        objects=len(sop_instance_uids),
    )
    return commitment


def ended(
    session: Session, transaction_uid: str, reason: str, *, actor: str, now: datetime
) -> None:
    """Note that a request was turned down or not answered, so that no report is awaited.

    One that comes all the same is still taken. Nothing happens where one has come already.
    """
    row = find(session, transaction_uid, lock=True)
    if row is None or row.answered_at is not None:
        return
    row.committed, row.failure_reasons, row.answered_at = [], {}, now
    audit.append(
        session,
        f"{actor}:commitment:ended",
        actor=actor,
        now=now,
        transaction_uid=transaction_uid,
        destination=row.destination,
        reason=reason,
    )


def answer(
    session: Session,
    transaction_uid: str,
    committed: frozenset[str],
    failed: Mapping[str, int],
    *,
    actor: str,
    sender: Sender,
    now: datetime,
) -> bool:
    """Note what a PACS answers, of the objects that it was asked about alone.

    The same answer again changes nothing; another one replaces the first, and both are told of in
    the audit chain. False: nobody asked under this Transaction UID.
    """
    row = find(session, transaction_uid, lock=True)
    if row is None:
        return False
    kept = sorted(committed & set(row.requested))
    lost = {uid: failed[uid] for uid in row.requested if uid in failed}
    if row.answered_at is not None and (row.committed, row.failure_reasons) == (kept, lost):
        return True
    row.committed, row.failure_reasons, row.answered_at = kept, lost, now
    _tell(session, row, actor, sender, now)
    return True


def find(session: Session, transaction_uid: str, *, lock: bool = False) -> Commitment | None:
    query = select(Commitment).where(Commitment.transaction_uid == transaction_uid)
    return session.scalar(query.with_for_update() if lock else query)


def _tell(session: Session, row: Commitment, actor: str, sender: Sender, now: datetime) -> None:
    audit.append(
        session,
        f"{actor}:commitment:answered",
        actor=actor,
        now=now,
        calling_ae=sender.calling_ae,
        address=sender.address,
        transaction_uid=row.transaction_uid,
        destination=row.destination,
        objects=len(row.requested),
        committed=row.committed,
        failed=row.failure_reasons,
    )
    intake.count(session, sender, "commitment-answered", now)
