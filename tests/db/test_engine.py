"""Transactions that commit, roll back and wait for each other."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from db.engine import Database, is_sqlite
from db.schema import SenderCount, Series, Study

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def counter(what: str = "stored", address: str = "10.0.0.7") -> SenderCount:
    return SenderCount(
        id=uuid4(), calling_ae="MODALITY", address=address, event=what, count=0, last_at=NOW
    )


def study(uid: str, patient_name: str = "Doe^Jane") -> Study:
    return Study(
        study_instance_uid=uid,
        patient_name=patient_name,
        source_ae="MODALITY",
        received_at=NOW,
        last_instance_at=NOW,
    )


def whats(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(SenderCount.event)))


def test_committed_rows_can_be_read(database: Database) -> None:
    with database.write() as session:
        session.add(counter())
    assert whats(database) == ["stored"]


def test_an_exception_rolls_the_transaction_back(database: Database) -> None:
    with suppress(RuntimeError), database.write() as session:
        session.add(counter())
        session.flush()
        raise RuntimeError
    assert whats(database) == []


def test_a_read_session_commits_nothing(database: Database) -> None:
    with database.read() as session:
        session.add(counter())
        session.flush()
    assert whats(database) == []


def test_rows_can_be_used_after_their_session(database: Database) -> None:
    with database.write() as session:
        row = counter()
        session.add(row)
    assert row.event == "stored"


def test_writers_that_read_first_wait_for_each_other(database: Database) -> None:
    """A deferred SQLite transaction would fail here at once (SQLITE_BUSY_SNAPSHOT)."""
    with database.write() as session:
        session.add(counter())
    start = Barrier(6)

    def add_ten(_: int) -> None:
        start.wait(10)
        for _turn in range(10):
            with database.write() as session:
                row = session.scalars(select(SenderCount).with_for_update()).one()
                row.count += 1

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(add_ten, range(6)))
    with database.read() as session:
        assert session.scalars(select(SenderCount.count)).one() == 60


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writer:
        writer.add(counter())
        writer.flush()
        assert whats(database) == []


def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Series(study_id=uuid4(), series_instance_uid="1.2"))


def test_an_error_text_does_not_contain_row_values(database: Database) -> None:
    """Row values would bring patient data into the log."""
    with database.write() as session:
        session.add(study("1.2.3"))
    with pytest.raises(IntegrityError) as caught, database.write() as session:
        session.add(study("1.2.3", patient_name="Roe^Mary"))
    assert "Roe" not in str(caught.value)


def test_sqlite_survives_a_crash_by_its_write_ahead_log(sqlite_database: Database) -> None:
    with sqlite_database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA synchronous")) == 2


def test_a_missing_database_is_an_error_at_first_use(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/sonogate.db")
    with pytest.raises(OperationalError), database.read() as session:
        session.execute(text("SELECT 1"))
    database.close()


def test_the_url_selects_the_backend() -> None:
    assert is_sqlite("sqlite:///x.db")
    assert not is_sqlite("postgresql+psycopg://host/name")
