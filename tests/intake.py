"""Records received instances as the indexer does."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from db.files import StoredFile
from db.intake import ReceivedInstance, StoredInstance, record_arrivals
from db.schema import Instance


def record_stored(
    session: Session,
    received: ReceivedInstance,
    instance_id: UUID,
    stored: StoredFile,
    *,
    stable_after: timedelta,
    now: datetime,
) -> Instance:
    """Record one new instance that is complete now: see `record_arrivals`."""
    arrival = StoredInstance(instance_id, received, stored, now, now, stable_after)
    record_arrivals(session, [arrival], now)
    return session.get_one(Instance, instance_id)
