"""Recording of events, also while the database is down."""

from pathlib import Path

import pytest
from sqlalchemy import select

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.schema import AuditEvent, SenderCount
from listener.events import EventRecorder

SENDER = Sender("MODALITY", "10.0.0.7")


def test_a_record_is_an_audit_event_and_a_count(database: Database) -> None:
    recorder = EventRecorder(database)
    for _ in range(2):
        recorder.record(AuditTag.INSTANCE_REFUSED, SENDER, "refused:not-dicom", code="not-dicom")
    recorder.count(SENDER, "not-dicom")
    with database.read() as session:
        assert audit.verify(session).events == 2
        counts = {row.event: row.count for row in session.scalars(select(SenderCount))}
        assert counts == {"refused:not-dicom": 2, "not-dicom": 1}
        first = session.get_one(AuditEvent, 1)
        assert (first.actor, first.tag) == ("listener", AuditTag.INSTANCE_REFUSED)


def test_a_database_that_is_down_leads_to_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    EventRecorder(database).record(AuditTag.INSTANCE_REFUSED, SENDER, "refused:not-dicom")
    assert "listener:instance:refused could not be recorded: OperationalError" in caplog.text
    database.close()
