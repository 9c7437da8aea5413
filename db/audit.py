"""The audit chain: append-only events, each holding the hash of the one before.

Triggers refuse updates and deletes; ``verify`` finds what got past them. A chain whose tail was cut
off together with its head is consistent in itself: keep a head hash outside (``sonogate audit
verify`` prints it) and give it to ``verify`` as an anchor.
"""

import hashlib
import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit_tags import AuditTag
from db.schema import AuditEvent, AuditHead

GENESIS = "0" * 64
_IN_ORDER = select(AuditEvent).order_by(AuditEvent.seq).execution_options(yield_per=1000)


@dataclass(frozen=True)
class Verdict:
    """Outcome of a verification; ``problem`` is empty when the chain holds."""

    events: int
    head: str
    problem: str = ""
    seq: int | None = None

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

    Locks the head row, so that two appends never take the same place in the chain.
    """
    head = session.get_one(AuditHead, 1, with_for_update=True, populate_existing=True)
    event = AuditEvent(
        seq=head.seq + 1,
        at=now,
        tag=tag.value,
        actor=actor,
        study_id=study_id,
        details=canonical(details),
        previous_hash=head.hash,
    )
    event.hash = hash_of(event)
    session.add(event)
    head.seq, head.hash = event.seq, event.hash
    session.flush()
    return event


def canonical(details: dict[str, Any]) -> str:
    """One text for one meaning: sorted keys, no spaces, UTF-8 as it is."""
    return json.dumps(
        details, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )


def hash_of(event: AuditEvent) -> str:
    """SHA-256 over every other column of the event, in a fixed order."""
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


def verify(session: Session, anchor: str = "") -> Verdict:
    """Walk the chain from its start; report the first line that was changed, removed or inserted.

    Args:
        anchor: a head hash noted earlier; the chain must still contain it.
    """
    # Appends go on meanwhile: the head of now must be met on the way, the head of then not passed.
    start = _head(session)
    if start is None:
        return Verdict(0, "", "the head of the chain is missing")
    previous, count = GENESIS, 0
    met, anchored = start == (0, GENESIS), anchor in ("", GENESIS)
    try:
        with closing(session.scalars(_IN_ORDER)) as events:
            for event in events:
                count += 1
                problem = _problem(event, count, previous)
                if problem:
                    return Verdict(count, previous, problem, event.seq)
                previous = event.hash
                met = met or start == (event.seq, event.hash)
                anchored = anchored or event.hash == anchor
    except (ValueError, TypeError, AttributeError):  # no date, no UUID: we never wrote that
        return Verdict(count, previous, f"an event after {count} was changed: it cannot be read")
    end = _head(session)
    if not met or end is None or end[0] < count:
        return Verdict(count, previous, f"the head names event {start[0]}, the last is {count}")
    if not anchored:
        return Verdict(count, previous, "the anchor is not in the chain: its tail was replaced")
    return Verdict(count, previous)


def _head(session: Session) -> tuple[int, str] | None:
    """Its place and hash as they are now, past any row that the session remembers."""
    head = select(AuditHead.seq, AuditHead.hash).where(AuditHead.id == 1)
    row = session.execute(head).one_or_none()
    return None if row is None else (row.seq, row.hash)


def _problem(event: AuditEvent, expected_seq: int, previous: str) -> str:
    if event.seq != expected_seq:
        return f"event {expected_seq} is missing"
    if event.previous_hash != previous:
        return f"event {event.seq} does not follow the event before it"
    if event.hash != hash_of(event):
        return f"event {event.seq} was changed"
    return ""
