"""The history of a study: its audit events in order."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit_tags import AuditTag
from db.schema import AuditEvent

_COUNTED: Final = frozenset(
    {
        AuditTag.INSTANCE_STORED,
        AuditTag.INSTANCE_DUPLICATE,
        AuditTag.INSTANCE_CONFLICT,
        AuditTag.INSTANCE_OTHER_PATIENT,
        AuditTag.STUDY_VIEWED,
        AuditTag.REVIEW_DRAFT_SAVED,
    }
)
"""Of these, consecutive events of one actor are counted in one entry."""


@dataclass(frozen=True)
class HistoryEntry:
    """One event, or ``count`` consecutive events of the same kind."""

    tag: str
    actor: str
    first_at: datetime
    last_at: datetime
    count: int
    details: dict[str, Any]
    """Of the last event."""


def load_study_history(session: Session, study_id: UUID) -> list[HistoryEntry]:
    """Return the history of a study, oldest first."""
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.study_id == study_id).order_by(AuditEvent.seq)
    )
    entries: list[HistoryEntry] = []
    for event in events:
        details = json.loads(event.details)
        last = entries[-1] if entries else None
        if last and event.tag in _COUNTED and (last.tag, last.actor) == (event.tag, event.actor):
            entries[-1] = replace(last, last_at=event.at, count=last.count + 1, details=details)
        else:
            entries.append(HistoryEntry(event.tag, event.actor, event.at, event.at, 1, details))
    return entries
