"""The story of a study, told by the audit chain."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit_tags import AuditTag
from db.schema import AuditEvent

# Of these, many come in a row, and it is enough to know how many.
_COUNTED = (
    AuditTag.INSTANCE_STORED,
    AuditTag.INSTANCE_DUPLICATE,
    AuditTag.INSTANCE_CONFLICT,
    AuditTag.INSTANCE_OTHER_PATIENT,
    AuditTag.STUDY_VIEWED,
    AuditTag.REVIEW_DRAFT_SAVED,
)


@dataclass(frozen=True)
class Moment:
    """One thing that happened, or the same thing several times in a row (``count``)."""

    tag: str
    actor: str
    first_at: datetime
    last_at: datetime
    count: int
    details: dict[str, Any]
    """Of the last event."""


def study_history(session: Session, study_id: UUID) -> list[Moment]:
    """Everything that happened to a study, oldest first; images that come in a row, or looks of
    the same person, are one moment.
    """
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.study_id == study_id).order_by(AuditEvent.seq)
    )
    return list(_merged(events))


def _merged(events: Iterable[AuditEvent]) -> Iterator[Moment]:
    run: Moment | None = None
    for event in events:
        details = json.loads(event.details)
        same = run and (run.tag, run.actor) == (event.tag, event.actor)
        if run and same and event.tag in _COUNTED:
            run = replace(run, last_at=event.at, count=run.count + 1, details=details)
            continue
        if run:
            yield run
        run = Moment(event.tag, event.actor, event.at, event.at, 1, details)
    if run:
        yield run
