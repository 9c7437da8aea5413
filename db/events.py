"""Looking through the audit chain; writing it and proving it is ``db.audit``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.schema import AuditEvent


@dataclass(frozen=True)
class EventFilter:
    """What the log is narrowed to; every field left alone takes everything."""

    tag: str = ""
    """A whole tag, or its beginning up to a colon: ``web:`` or ``web:review:``."""
    actor: str = ""
    study_id: UUID | None = None
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""


@dataclass(frozen=True)
class EventPage:
    events: Sequence[AuditEvent]
    total: int
    number: int
    """Counts from 1; never beyond the last page."""
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def load_events(session: Session, wanted: EventFilter, *, number: int, size: int) -> EventPage:
    """One page of the log, newest first."""
    total = session.scalar(_narrowed(select(func.count(AuditEvent.seq)), wanted)) or 0
    number = min(max(1, number), max(1, -(-total // size)))
    events = session.scalars(
        _narrowed(select(AuditEvent), wanted)
        .order_by(AuditEvent.seq.desc())
        .limit(size)
        .offset((number - 1) * size)
    ).all()
    return EventPage(events, total, number, size)


def iter_events(session: Session, wanted: EventFilter) -> Iterator[AuditEvent]:
    """Every event that fits, oldest first, without holding them all."""
    found = _narrowed(select(AuditEvent), wanted).order_by(AuditEvent.seq)
    yield from session.scalars(found.execution_options(yield_per=500))


def known_tags(session: Session) -> Sequence[str]:
    return session.scalars(select(AuditEvent.tag).distinct().order_by(AuditEvent.tag)).all()


def known_actors(session: Session) -> Sequence[str]:
    return session.scalars(select(AuditEvent.actor).distinct().order_by(AuditEvent.actor)).all()


def _narrowed(statement: Select[Any], wanted: EventFilter) -> Select[Any]:
    if wanted.tag.endswith(":"):
        statement = statement.where(AuditEvent.tag.startswith(wanted.tag, autoescape=True))
    elif wanted.tag:
        statement = statement.where(AuditEvent.tag == wanted.tag)
    if wanted.actor:
        statement = statement.where(AuditEvent.actor == wanted.actor)
    if wanted.study_id:
        statement = statement.where(AuditEvent.study_id == wanted.study_id)
    if wanted.since:
        statement = statement.where(AuditEvent.at >= wanted.since)
    if wanted.until:
        statement = statement.where(AuditEvent.at < wanted.until)
    return statement
