from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import jobs
from db.engine import Database
from db.errors import StoreFull
from db.jobs import Claim
from db.schema import Job, JobKind, JobStatus
from tests.workers.hospital import NOON, Hospital
from workers.errors import NotYet, WorkError
from workers.jobs.handler import Failure, Write
from workers.queue.runner import Runner
from workers.queue.slots import ActiveLeases, ConcurrencySlots


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What differs between databases is the queue's business, and tested there."""
    return sqlite_database


@dataclass
class Scripted:
    """A kind of work that does what the test says."""

    raises: Exception | None = None
    meanwhile: Any = None
    """Called while the work is being done."""
    written: list[UUID] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def do(self, claim: Claim, now: datetime) -> Write:
        if self.meanwhile:
            self.meanwhile(claim)
        if self.raises:
            raise self.raises
        return lambda session, now: self.written.append(claim.subject_id)

    def failed(self, session: Session, job: Job, failure: Failure, now: datetime) -> None:
        self.failures.append(failure)


@pytest.fixture
def subject() -> UUID:
    return uuid4()


@pytest.fixture
def job_id(hospital: Hospital, subject: UUID) -> UUID:
    with hospital.database.write() as session:
        job = jobs.enqueue(session, JobKind.DELIVER, key="k", subject_id=subject, now=NOON)
        assert job is not None
        session.flush()
        return job.id


def runner(hospital: Hospital, work: Scripted, slots: ConcurrencySlots | None = None) -> Runner:
    held = ActiveLeases(timedelta(seconds=60), timedelta(hours=1))
    job_handlers: Mapping[JobKind, Scripted] = dict.fromkeys(JobKind, work)
    return Runner(
        hospital.services, job_handlers, slots or ConcurrencySlots(4, 2), held, hospital.clock
    )


def look(hospital: Hospital) -> Job:
    with hospital.database.read() as session:
        return session.scalars(select(Job)).one()


def test_a_job_that_is_done_is_finished_with_its_result(
    hospital: Hospital, job_id: UUID, subject: UUID
) -> None:
    work = Scripted()
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    assert look(hospital).status is JobStatus.DONE
    assert work.written == [subject]


def test_a_message_that_comes_twice_does_the_work_once(
    hospital: Hospital, job_id: UUID, subject: UUID
) -> None:
    work = Scripted()
    for _ in range(2):
        runner(hospital, work).run(job_id, JobKind.DELIVER)
    assert work.written == [subject]


def test_a_message_for_a_job_that_does_not_exist_is_nothing(hospital: Hospital) -> None:
    work = Scripted()
    runner(hospital, work).run(uuid4(), JobKind.DELIVER)
    assert work.written == []


def test_a_passing_error_is_tried_again_later(hospital: Hospital, job_id: UUID) -> None:
    work = Scripted(raises=NotYet("wait for it"))
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    job = look(hospital)
    assert (job.status, job.error, job.attempts) == (JobStatus.QUEUED, "wait for it", 1)
    assert job.due_at > NOON
    assert [failure.given_up for failure in work.failures] == [False]


def test_a_permanent_error_goes_to_the_dead_letter_at_once(
    hospital: Hospital, job_id: UUID
) -> None:
    work = Scripted(raises=WorkError("never"))
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    assert look(hospital).status is JobStatus.DEAD_LETTER
    assert [failure.given_up for failure in work.failures] == [True]


def test_the_last_attempt_is_given_up(hospital: Hospital, job_id: UUID) -> None:
    work = Scripted(raises=NotYet("wait for it"))
    for _ in range(jobs.MAX_ATTEMPTS[JobKind.DELIVER]):
        runner(hospital, work).run(job_id, JobKind.DELIVER)
    assert look(hospital).status is JobStatus.DEAD_LETTER
    assert [failure.given_up for failure in work.failures][-2:] == [False, True]


def test_a_strange_error_is_told_without_its_text(
    hospital: Hospital, job_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    work = Scripted(raises=ValueError("Muster^Anna"))
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    job = look(hospital)
    assert job.status is JobStatus.QUEUED
    assert job.error == "unexpected ValueError"
    assert "ValueError" in caplog.text
    assert "test_runner.py" in caplog.text
    assert "Muster" not in caplog.text


@pytest.mark.parametrize(
    ("full", "words"),
    [
        (OSError(28, "No space left on device", "/some/where"), "No space left on device"),
        (StoreFull(1, 2), "only 1 bytes are free"),
    ],
)
def test_a_full_disk_is_told_and_waited_for_without_using_up_attempts(
    hospital: Hospital, job_id: UUID, full: Exception, words: str
) -> None:
    work = Scripted(raises=full)
    for _ in range(30):
        runner(hospital, work).run(job_id, JobKind.DELIVER)
    job = look(hospital)
    assert words in job.error
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert job.due_at - hospital.clock() == jobs.PUT_OFF
    assert work.failures == []


def test_the_result_of_a_lost_claim_is_not_written(hospital: Hospital, job_id: UUID) -> None:
    def take_over(claim: Claim) -> None:
        hospital.clock.skip(minutes=5)
        with hospital.database.write() as session:
            jobs.take_due(session, hospital.clock())
            assert jobs.claim(session, claim.job_id, hospital.clock())

    work = Scripted(meanwhile=take_over)
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    job = look(hospital)
    assert (job.status, job.attempts) == (JobStatus.RUNNING, 2)
    assert work.written == []


def test_the_failure_of_a_lost_claim_is_not_written(hospital: Hospital, job_id: UUID) -> None:
    def take_over(claim: Claim) -> None:
        hospital.clock.skip(minutes=5)
        with hospital.database.write() as session:
            jobs.take_due(session, hospital.clock())
            assert jobs.claim(session, claim.job_id, hospital.clock())

    work = Scripted(meanwhile=take_over, raises=WorkError("never"))
    runner(hospital, work).run(job_id, JobKind.DELIVER)
    assert look(hospital).status is JobStatus.RUNNING
    assert work.failures == []


def test_a_result_that_cannot_be_written_leaves_nothing_behind(
    hospital: Hospital, job_id: UUID
) -> None:
    class Unwritable(Scripted):
        def do(self, claim: Claim, now: datetime) -> Write:
            def write(session: Session, now: datetime) -> None:
                jobs.enqueue(session, JobKind.SIGN, key="x", subject_id=uuid4(), now=now)
                raise OSError(5, "Input/output error")

            return write

    runner(hospital, Unwritable()).run(job_id, JobKind.DELIVER)
    job = look(hospital)  # one row: the other was rolled back
    assert (job.kind, job.status) == (JobKind.DELIVER, JobStatus.QUEUED)


def test_without_a_free_hand_the_job_is_given_back_soon(hospital: Hospital, job_id: UUID) -> None:
    with hospital.database.write() as session:
        jobs.take_due(session, NOON)
    work, slots = Scripted(), ConcurrencySlots(2, 1)
    with slots.taken(JobKind.DELIVER):
        runner(hospital, work, slots).run(job_id, JobKind.DELIVER)
    job = look(hospital)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert job.due_at - NOON == timedelta(seconds=1)


def test_a_database_that_is_gone_does_not_raise(
    hospital: Hospital, job_id: UUID, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hospital.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE job RENAME TO gone")
    runner(hospital, Scripted()).run(job_id, JobKind.DELIVER)
    assert str(job_id) in caplog.text
