"""Counts per sender and per destination."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.schema import Delivery, DeliveryStatus, Destination, SenderCount


@dataclass(frozen=True)
class SenderStatistics:
    """All events counted for one calling AE title at one address."""

    calling_ae: str
    address: str
    last_at: datetime
    counts: dict[str, int]
    """By event."""


@dataclass(frozen=True)
class DestinationStatistics:
    destination: Destination
    counts: dict[DeliveryStatus, int]
    last_delivered_at: datetime | None
    last_error: str
    """Of the newest delivery that is retrying or failed; empty if there is none."""


def load_sender_statistics(session: Session) -> list[SenderStatistics]:
    """Return the statistics of all senders, the most recently active one first."""
    by_sender: dict[tuple[str, str], list[SenderCount]] = {}
    for row in session.scalars(select(SenderCount).order_by(SenderCount.event)):
        by_sender.setdefault((row.calling_ae, row.address), []).append(row)
    senders = [
        SenderStatistics(
            calling_ae,
            address,
            max(row.last_at for row in rows),
            {row.event: row.count for row in rows},
        )
        for (calling_ae, address), rows in by_sender.items()
    ]
    return sorted(senders, key=lambda sender: sender.last_at, reverse=True)


def load_destination_statistics(session: Session) -> list[DestinationStatistics]:
    """Return the statistics of all destinations, by name."""
    statistics = []
    for destination in session.scalars(select(Destination).order_by(Destination.name)).all():
        of_destination = Delivery.destination_id == destination.id
        counts = session.execute(
            select(Delivery.status, func.count()).where(of_destination).group_by(Delivery.status)
        )
        error = session.scalar(
            select(Delivery.error)
            .where(
                of_destination,
                Delivery.status.in_([DeliveryStatus.RETRYING, DeliveryStatus.FAILED]),
            )
            .order_by(Delivery.created_at.desc())
            .limit(1)
        )
        statistics.append(
            DestinationStatistics(
                destination,
                dict(counts.all()),
                session.scalar(select(func.max(Delivery.delivered_at)).where(of_destination)),
                error or "",
            )
        )
    return statistics
