"""Rows of received instances. The listener's tests cover real files and races."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from db import intake
from db.engine import Database
from db.files import StoredFile
from db.intake import (
    InstanceAttributes,
    ReceivedInstance,
    Sender,
    SeriesAttributes,
    StudyAttributes,
)
from db.schema import AuditEvent, Instance, SenderCount, Study

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SENDER = Sender("MODALITY", "10.0.0.7")


def received(number: int = 1, study: str = "1.2.3") -> ReceivedInstance:
    return ReceivedInstance(
        StudyAttributes(study, "P1", "Doe^Jane", "19700101", "F", "ACC", "20260304", "0506", "US"),
        SeriesAttributes(f"{study}.1", "US", 1, "B-mode"),
        InstanceAttributes(
            f"{study}.1.{number}", "1.2.840.1", "1.2.840.2", number, 1, 64, 64, None, "L"
        ),
        SENDER,
    )


def record(database: Database, what: ReceivedInstance, digest: str = "a") -> Instance:
    with database.write() as session:
        instance_id = uuid4()
        kept = StoredFile(f"instances/{instance_id}.dcm", digest * 64, 100)
        return intake.record_stored(
            session, what, instance_id, kept, stable_after=timedelta(seconds=15), now=NOW
        )


def digest_of(database: Database) -> str:
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        return intake.compute_study_digest(session, study.id)


def test_instances_of_one_study_share_its_rows(database: Database) -> None:
    for number in (1, 2):
        record(database, received(number))
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        assert [i.number for i in study.series[0].instances] == [1, 2]
        assert (study.revision, study.last_instance_at) == (1, NOW)


def test_a_sop_instance_uid_is_recorded_once(database: Database) -> None:
    record(database, received())
    with pytest.raises(IntegrityError):
        record(database, received(), digest="b")
    with database.read() as session:
        assert session.scalars(select(SenderCount.count)).one() == 1  # the failure left no trace


def test_the_study_digest_depends_on_the_instances_but_not_on_their_order(
    database: Database,
) -> None:
    record(database, received(1), digest="a")
    one = digest_of(database)
    record(database, received(2), digest="b")
    both = digest_of(database)
    assert one != both
    assert digest_of(database) == both


def test_an_instance_with_another_patient_id_is_an_audit_event(database: Database) -> None:
    record(database, received(1))
    other = replace(received(2), study=replace(received().study, patient_id="P2"))
    record(database, other)
    with database.read() as session:
        assert session.scalars(select(Study.patient_id)).one() == "P1"
        tags = list(session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)))
        counts = {row.event: row.count for row in session.scalars(select(SenderCount))}
    assert tags[1:] == ["listener:instance:other-patient", "listener:instance:stored"]
    assert counts == {"stored": 2, "other-patient": 1}


def test_a_conflict_is_recorded_once_and_counted_each_time(database: Database) -> None:
    instance = record(database, received())
    fresh = []
    for _ in range(2):
        with database.write() as session:
            held = session.get_one(Instance, instance.id)
            kept = StoredFile("conflicts/x.dcm", "c" * 64, 100)
            fresh.append(intake.record_conflict(session, held, uuid4(), kept, SENDER, NOW))
    assert fresh == [True, False]
    with database.read() as session:
        counts = {row.event: row.count for row in session.scalars(select(SenderCount))}
    assert counts == {"stored": 1, "conflict": 2}


def test_events_are_counted_per_sender(database: Database) -> None:
    other = Sender("MODALITY", "10.0.0.8")
    for sender in (SENDER, SENDER, other):
        with database.write() as session:
            intake.count_event(session, sender, "refused:not-dicom", NOW)
    with database.read() as session:
        counts = {row.address: row.count for row in session.scalars(select(SenderCount))}
    assert counts == {"10.0.0.7": 2, "10.0.0.8": 1}
