"""Rows of received instances. The listener's tests cover real files and races."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from db import audit, intake, jobs
from db.engine import Database
from db.files import StoredFile
from db.intake import (
    Arrival,
    ConflictingInstance,
    DuplicateInstance,
    InstanceAttributes,
    ReceivedInstance,
    Sender,
    SeriesAttributes,
    StoredInstance,
    StudyAttributes,
)
from db.schema import AuditEvent, Conflict, Instance, Job, SenderCount, Study
from tests.intake import record_stored

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
        return record_stored(
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


def repeat(instance: Instance, stored: StoredFile | None) -> ConflictingInstance:
    return ConflictingInstance(instance.id, uuid4(), SENDER, NOW, stored)


def test_a_conflict_is_recorded_once_and_counted_each_time(database: Database) -> None:
    instance = record(database, received())
    kept = StoredFile("conflicts/x.dcm", "c" * 64, 100, "d" * 64)
    with database.write() as session:
        intake.record_arrivals(session, [repeat(instance, kept), repeat(instance, None)], NOW)
    with database.read() as session:
        counts = {row.event: row.count for row in session.scalars(select(SenderCount))}
        assert session.scalars(select(Conflict)).one().data_set_sha256 == "d" * 64
        tags = list(session.scalars(select(AuditEvent.tag)))
    assert counts == {"stored": 1, "conflict": 2}
    assert tags.count("listener:instance:conflict") == 1


def arrive(number: int, *, study: str = "1.2.3", after: float = 0, wait: float = 15) -> Arrival:
    """An instance that is complete some seconds after NOW."""
    complete_at = NOW + timedelta(seconds=after)
    file = StoredFile(f"instances/{number}.dcm", f"{number:064}", 100)
    return StoredInstance(
        uuid4(), received(number, study), file, NOW, complete_at, timedelta(seconds=wait)
    )


def record_all(database: Database, *arrivals: Arrival, now: datetime = NOW) -> None:
    with database.write() as session:
        intake.record_arrivals(session, arrivals, now)


def due_times(database: Database) -> list[float]:
    with database.read() as session:
        times = session.scalars(select(Job.due_at).order_by(Job.due_at)).all()
    return [(due_at - NOW).total_seconds() for due_at in times]


def test_a_batch_has_the_rows_and_events_of_its_files(database: Database) -> None:
    record(database, received(1))
    with database.read() as session:
        first = session.scalars(select(Instance)).one()
    again = DuplicateInstance(first.id, SENDER, NOW)
    record_all(database, arrive(2), again, arrive(1, study="1.2.9"), arrive(2, study="1.2.9"))
    with database.read() as session:
        counts = {row.event: row.count for row in session.scalars(select(SenderCount))}
        studies = {study.study_instance_uid: study for study in session.scalars(select(Study))}
        instances = {uid: study.series[0].instances for uid, study in studies.items()}
        assert {uid: len(rows) for uid, rows in instances.items()} == {"1.2.3": 2, "1.2.9": 2}
        tags = list(session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)))
        assert audit.verify(session).intact
    assert counts == {"stored": 4, "duplicate": 1}
    assert [tag.rpartition(":")[2] for tag in tags] == [
        "stored",
        "stored",
        "duplicate",
        "stored",
        "stored",
    ]
    assert due_times(database) == [15, 15]


def test_an_instance_indexed_late_does_not_bring_the_analysis_forward(database: Database) -> None:
    record_all(database, arrive(1, after=60))
    record_all(database, arrive(2, after=2))
    assert due_times(database) == [75]
    with database.read() as session:
        assert session.scalars(select(Study.last_instance_at)).one() == NOW + timedelta(seconds=60)


def test_the_quiet_time_is_that_of_the_latest_instance(database: Database) -> None:
    record_all(database, arrive(1, after=3, wait=100), arrive(2, after=5, wait=20))
    assert due_times(database) == [25]


def test_an_instance_indexed_after_the_claim_opens_the_next_revision(database: Database) -> None:
    record_all(database, arrive(1))
    with database.write() as session:
        assert jobs.claim(session, session.scalars(select(Job.id)).one(), NOW)
    record_all(database, arrive(2, after=1))
    with database.read() as session:
        assert session.scalars(select(Study.revision)).one() == 2


def test_a_restored_file_changes_digest_and_size(database: Database) -> None:
    instance = record(database, received())
    restored = StoredFile(instance.file, "e" * 64, 101, "d" * 64)
    record_all(database, DuplicateInstance(instance.id, SENDER, NOW, restored))
    with database.read() as session:
        row = session.get_one(Instance, instance.id)
    assert (row.sha256, row.size_bytes, row.data_set_sha256) == ("e" * 64, 101, "d" * 64)


def test_events_are_counted_per_sender(database: Database) -> None:
    other = Sender("MODALITY", "10.0.0.8")
    for sender in (SENDER, SENDER, other):
        with database.write() as session:
            intake.count_event(session, sender, "refused:not-dicom", NOW)
    with database.read() as session:
        counts = {row.address: row.count for row in session.scalars(select(SenderCount))}
    assert counts == {"10.0.0.7": 2, "10.0.0.8": 1}
