"""What came from whom and what went where, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import Delivery, DeliveryStatus, Destination, SenderCount


@dataclass(frozen=True)
class SenderLine:
    """Everything counted for one calling AE title at one address."""

    calling_ae: str
    address: str
    last_at: datetime
    counts: dict[str, int]


@dataclass(frozen=True)
class DestinationLine:
    destination: Destination
    counts: dict[DeliveryStatus, int]
    last_delivered_at: datetime | None
    last_error: str
    """Of the newest delivery that is not through; empty when all are."""


def senders(session: Session) -> list[SenderLine]:
    """The latest to call first."""
    rows = session.scalars(select(SenderCount).order_by(SenderCount.event)).all()
    grouped: dict[tuple[str, str], list[SenderCount]] = {}
    for row in rows:
        grouped.setdefault((row.calling_ae, row.address), []).append(row)
    lines = [
        SenderLine(ae, address, max(row.last_at for row in own), {r.event: r.count for r in own})
        for (ae, address), own in grouped.items()
    ]
    return sorted(lines, key=lambda line: line.last_at, reverse=True)


def destinations(session: Session) -> list[DestinationLine]:
    found = session.scalars(select(Destination).order_by(Destination.name)).all()
    return [_destination(session, destination) for destination in found]


def _destination(session: Session, destination: Destination) -> DestinationLine:
    own = Delivery.destination_id == destination.id
    counted: Sequence[tuple[DeliveryStatus, int]] = [
        (status, number)
        for status, number in session.execute(
            select(Delivery.status, func.count()).where(own).group_by(Delivery.status)
        )
    ]
    last = session.scalar(select(func.max(Delivery.delivered_at)).where(own))
    error = session.scalar(
        select(Delivery.error)
        .where(own, Delivery.status.in_([DeliveryStatus.RETRYING, DeliveryStatus.FAILED]))
        .order_by(Delivery.created_at.desc())
        .limit(1)
    )
    return DestinationLine(destination, dict(counted), last, error or "")
