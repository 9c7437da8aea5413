"""The audit log: a hash chain of append-only events.

Each event holds the hash of the event before it. Triggers reject updates and deletes; `verify`
detects changes that bypassed them. If the newest events and the head were replaced together, the
chain is still consistent. To detect that, store a head hash elsewhere and pass it as the anchor.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from db.audit_tags import AuditTag
from db.schema import AuditEvent, AuditHead

GENESIS = "0" * 64
"""The previous hash of the first event."""


class NewAuditEvent:
    """An event to append. Its details are values of any type that has a text."""

    def __init__(self, tag: AuditTag, study_id: UUID | None = None, **details: Any) -> None:
        self.tag = tag
        self.study_id = study_id
        self.details = to_canonical_json(details)


@dataclass(frozen=True)
class AuditVerification:
    """Result of `verify`. ``problem`` is empty if the chain is intact."""

    events: int
    head: str
    problem: str = ""
    seq: int | None = None
    """Of the event with the problem, if there is one."""

    @property
    def intact(self) -> bool:
        return not self.problem


def append(
    session: Session,
    tag: AuditTag,
    *,
    actor: str,
    now: datetime,
    study_id: UUID | None = None,
    **details: Any,
) -> AuditEvent:
    """Add an event in the caller's transaction.

    Locks the head until the transaction ends, so that no other event gets the same place.
    """
    event = NewAuditEvent(tag, study_id, **details)
    (appended,) = append_all(session, [event], actor=actor, now=now)
    return appended


def append_all(
    session: Session, events: Sequence[NewAuditEvent], *, actor: str, now: datetime
) -> list[AuditEvent]:
    """Add several events in their order, as `append` does."""
    if not events:
        return []
    head = session.get_one(AuditHead, 1, with_for_update=True, populate_existing=True)
    appended: list[AuditEvent] = []
    previous_seq, previous_hash = head.seq, head.hash
    for new in events:
        event = AuditEvent(
            seq=previous_seq + 1,
            at=now,
            tag=new.tag.value,
            actor=actor,
            study_id=new.study_id,
            details=new.details,
            previous_hash=previous_hash,
        )
        event.hash = hash_event(event)
        previous_seq, previous_hash = event.seq, event.hash
        appended.append(event)
    session.add_all(appended)
    session.flush()
    # a trigger lets the head advance by one event at a time only
    session.connection().execute(
        update(AuditHead)
        .where(AuditHead.id == 1)
        .values(seq=bindparam("new_seq"), hash=bindparam("new_hash")),
        [{"new_seq": event.seq, "new_hash": event.hash} for event in appended],
    )
    session.expire(head)
    return appended


def to_canonical_json(details: dict[str, Any]) -> str:
    """Return the same text for equal values: sorted keys, no spaces, unescaped UTF-8."""
    return json.dumps(
        details, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )


def hash_event(event: AuditEvent) -> str:
    """Return the SHA-256 of all other columns of the event, in a fixed order."""
    covered = [
        event.seq,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.tag,
        event.actor,
        str(event.study_id or ""),
        event.details,
        event.previous_hash,
    ]
    return hashlib.sha256(json.dumps(covered, ensure_ascii=False).encode()).hexdigest()


def verify(session: Session, anchor: str = "") -> AuditVerification:
    """Verify the chain from its start up to the first event that was changed, removed or inserted.

    Args:
        anchor: an earlier head hash. The chain must contain it.
    """
    # Events may be appended meanwhile. The chain must contain the present head, and must not
    # extend beyond the head that is read at the end.
    start = _load_head(session)
    if start is None:
        return AuditVerification(0, "", "the head of the chain is missing")
    previous, count = GENESIS, 0
    head_found, anchor_found = start == (0, GENESIS), anchor in ("", GENESIS)
    query = select(AuditEvent).order_by(AuditEvent.seq).execution_options(yield_per=1000)
    try:
        with closing(session.scalars(query)) as events:
            for event in events:
                count += 1
                problem = _find_problem(event, count, previous)
                if problem:
                    return AuditVerification(count, previous, problem, event.seq)
                previous = event.hash
                head_found = head_found or start == (event.seq, event.hash)
                anchor_found = anchor_found or event.hash == anchor
    except (
        ValueError,
        TypeError,
        AttributeError,
    ):  # a date or UUID that Sonogate cannot have written
        problem = f"an event after event {count} was changed and cannot be read"
        return AuditVerification(count, previous, problem)
    end = _load_head(session)
    if not head_found or end is None or end[0] < count:
        problem = f"the head names event {start[0]}, but the last event is {count}"
        return AuditVerification(count, previous, problem)
    if not anchor_found:
        problem = "the anchor is not in the chain: the newest events were replaced"
        return AuditVerification(count, previous, problem)
    return AuditVerification(count, previous)


def _load_head(session: Session) -> tuple[int, str] | None:
    """Return sequence number and hash from the database, not from the session's identity map."""
    head = select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1)
    row = session.execute(head).one_or_none()
    return None if row is None else (row.seq, row.hash)


def _find_problem(event: AuditEvent, expected_seq: int, previous: str) -> str:
    if event.seq != expected_seq:
        return f"event {expected_seq} is missing"
    if event.previous_hash != previous:
        return f"event {event.seq} does not follow the event before it"
    if event.hash != hash_event(event):
        return f"event {event.seq} was changed"
    return ""
