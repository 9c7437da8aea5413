"""Recording of events in sums, also while the database is down."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.schema import AuditEvent, SenderCount
from listener import events
from listener.events import EventRecorder

SENDER = Sender("MODALITY", "10.0.0.7")


@pytest.fixture
def empty_database(tmp_path: Path) -> Iterator[Database]:
    """A database without tables, which fails like one that is down."""
    database = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    yield database
    database.close()


def load_counts(database: Database) -> dict[tuple[str, str], int]:
    with database.read() as session:
        rows = session.scalars(select(SenderCount)).all()
    return {(row.calling_ae, row.event): row.count for row in rows}


def load_events(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).order_by(AuditEvent.seq)))


def refuse(recorder: EventRecorder, sender: Sender = SENDER) -> bool:
    return recorder.record(AuditTag.INSTANCE_REFUSED, sender, "refused:not-dicom", code="not-dicom")


def test_an_event_is_an_audit_event_and_a_count(database: Database) -> None:
    recorder = EventRecorder(database)
    refuse(recorder)
    recorder.count(SENDER, "not-dicom")
    recorder.flush()
    assert load_counts(database) == {
        ("MODALITY", "refused:not-dicom"): 1,
        ("MODALITY", "not-dicom"): 1,
    }
    (event,) = load_events(database)
    assert (event.actor, event.tag) == ("listener", AuditTag.INSTANCE_REFUSED)
    assert "times" not in event.details


def test_equal_events_are_one_audit_event_with_their_number(database: Database) -> None:
    recorder = EventRecorder(database)
    first = [refuse(recorder) for _ in range(600)]
    assert first == [True] + [False] * 599
    recorder.flush()
    (event,) = load_events(database)
    assert '"times":600' in event.details
    assert load_counts(database) == {("MODALITY", "refused:not-dicom"): 600}
    with database.read() as session:
        assert audit.verify(session).intact


def test_the_first_event_is_written_at_once_and_further_ones_later(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = EventRecorder(sqlite_database)
    refuse(recorder)
    recorder.write_due()
    refuse(recorder)
    recorder.write_due()
    assert load_counts(sqlite_database) == {("MODALITY", "refused:not-dicom"): 1}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * events.SUM_INTERVAL_SECONDS)
    recorder.write_due()
    assert load_counts(sqlite_database) == {("MODALITY", "refused:not-dicom"): 2}


def test_events_are_kept_while_the_database_is_down(
    empty_database: Database, sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = EventRecorder(empty_database)
    refuse(recorder)
    recorder.flush()
    refuse(recorder)
    recorder.flush()
    assert "could not be recorded yet: OperationalError" in caplog.text
    vars(recorder)["_database"] = sqlite_database
    recorder.flush()
    assert load_counts(sqlite_database) == {("MODALITY", "refused:not-dicom"): 2}


def test_invented_ae_titles_are_counted_together(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_SENDERS", 3)
    recorder = EventRecorder(sqlite_database)
    for number in range(10):
        refuse(recorder, Sender(f"INVENTED{number}", "10.0.0.7"))
    recorder.flush()
    counts = load_counts(sqlite_database)
    assert len(counts) == 4
    assert counts["", "refused:not-dicom"] == 7


def test_the_number_of_kinds_in_memory_is_limited(
    empty_database: Database,
    sqlite_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(events, "MAX_SUMS", 3)
    recorder = EventRecorder(empty_database)
    for number in range(10):
        recorder.count(SENDER, f"kind-{number}")
    recorder.flush()
    vars(recorder)["_database"] = sqlite_database
    recorder.flush()
    assert len(load_counts(sqlite_database)) == 3
    assert "7 events were not recorded" in caplog.text
    recorder.count(SENDER, "another kind")  # room again, since the others are written
    recorder.flush()
    assert len(load_counts(sqlite_database)) == 4
