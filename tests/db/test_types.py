"""Column types on both databases."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from db.engine import Database
from db.schema import SenderCount
from db.types import now_utc

BERLIN = timezone(timedelta(hours=2))


def with_time(moment: datetime) -> SenderCount:
    return SenderCount(calling_ae="A", address="::1", event="stored", count=1, last_at=moment)


def test_a_datetime_is_read_in_utc_to_the_microsecond(database: Database) -> None:
    moment = datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=BERLIN)
    with database.write() as session:
        session.add(with_time(moment))
    with database.read() as session:
        found = session.scalars(select(SenderCount.last_at)).one()
    assert found == moment
    assert found.tzinfo is UTC or found.utcoffset() == timedelta(0)


def test_datetimes_of_different_zones_compare_in_the_database(database: Database) -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    with database.write() as session:
        session.add(with_time(moment))
    with database.read() as session:
        before = datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
        assert session.scalars(select(SenderCount).where(SenderCount.last_at <= before)).all()


def test_a_naive_datetime_is_an_error(database: Database) -> None:
    naive = now_utc().replace(tzinfo=None)
    with pytest.raises(StatementError, match="time zone"), database.write() as session:
        session.add(with_time(naive))


def test_now_utc_is_aware() -> None:
    assert now_utc().tzinfo is UTC
