"""Queries for audit events. `db.audit` appends and verifies them."""

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
    """Conditions that events must meet. An empty field is no condition."""

    tag: str = ""
    """A tag, or its beginning up to a colon: ``web:`` or ``web:review:``."""
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
    """From 1 to `pages`."""
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def load_events(session: Session, condition: EventFilter, *, number: int, size: int) -> EventPage:
    """Return one page of events, newest first. A page number out of range is clamped."""
    total = session.scalar(_filtered(select(func.count(AuditEvent.seq)), condition)) or 0
    number = min(max(1, number), max(1, -(-total // size)))
    events = session.scalars(
        _filtered(select(AuditEvent), condition)
        .order_by(AuditEvent.seq.desc())
        .limit(size)
        .offset((number - 1) * size)
    ).all()
    return EventPage(events, total, number, size)


def iter_events(session: Session, condition: EventFilter) -> Iterator[AuditEvent]:
    """Yield all matching events, oldest first, in batches."""
    query = _filtered(select(AuditEvent), condition).order_by(AuditEvent.seq)
    yield from session.scalars(query.execution_options(yield_per=500))


def list_tags(session: Session) -> Sequence[str]:
    """Return the tags that occur in the log."""
    return session.scalars(select(AuditEvent.tag).distinct().order_by(AuditEvent.tag)).all()


def list_actors(session: Session) -> Sequence[str]:
    """Return the actors that occur in the log."""
    return session.scalars(select(AuditEvent.actor).distinct().order_by(AuditEvent.actor)).all()


def _filtered(statement: Select[Any], condition: EventFilter) -> Select[Any]:
    if condition.tag.endswith(":"):
        statement = statement.where(AuditEvent.tag.startswith(condition.tag, autoescape=True))
    elif condition.tag:
        statement = statement.where(AuditEvent.tag == condition.tag)
    if condition.actor:
        statement = statement.where(AuditEvent.actor == condition.actor)
    if condition.study_id:
        statement = statement.where(AuditEvent.study_id == condition.study_id)
    if condition.since:
        statement = statement.where(AuditEvent.at >= condition.since)
    if condition.until:
        statement = statement.where(AuditEvent.at < condition.until)
    return statement
