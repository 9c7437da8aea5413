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
from tests.workers.gateway import NOON, Gateway
from workers.errors import PrerequisitePending, WorkError
from workers.jobs.handler import JobFailure, SaveResult
from workers.queue.runner import JobRunner
from workers.queue.slots import ActiveLeases, ConcurrencySlots


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What differs between databases is tested in tests/db/test_jobs.py."""
    return sqlite_database


@dataclass
class ScriptedHandler:
    """A job handler that does what the test says."""

    raises: Exception | None = None
    meanwhile: Any = None
    """Called while the job is running."""
    saved: list[UUID] = field(default_factory=list)
    failures: list[JobFailure] = field(default_factory=list)

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        if self.meanwhile:
            self.meanwhile(claim)
        if self.raises:
            raise self.raises
        return lambda session, now: self.saved.append(claim.subject_id)

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        self.failures.append(failure)


@pytest.fixture
def subject() -> UUID:
    return uuid4()


@pytest.fixture
def job_id(gateway: Gateway, subject: UUID) -> UUID:
    with gateway.database.write() as session:
        job = jobs.enqueue(session, JobKind.DELIVER, key="k", subject_id=subject, now=NOON)
        assert job is not None
        session.flush()
        return job.id


def runner(
    gateway: Gateway, handler: ScriptedHandler, slots: ConcurrencySlots | None = None
) -> JobRunner:
    leases = ActiveLeases(timedelta(seconds=60), timedelta(hours=1))
    job_handlers: Mapping[JobKind, ScriptedHandler] = dict.fromkeys(JobKind, handler)
    return JobRunner(
        gateway.services, job_handlers, slots or ConcurrencySlots(4, 2), leases, gateway.clock
    )


def only_job(gateway: Gateway) -> Job:
    with gateway.database.read() as session:
        return session.scalars(select(Job)).one()


def test_a_job_is_done_in_the_transaction_of_its_result(
    gateway: Gateway, job_id: UUID, subject: UUID
) -> None:
    handler = ScriptedHandler()
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    assert only_job(gateway).status is JobStatus.DONE
    assert handler.saved == [subject]


def test_a_message_that_arrives_twice_runs_the_job_once(
    gateway: Gateway, job_id: UUID, subject: UUID
) -> None:
    handler = ScriptedHandler()
    for _ in range(2):
        runner(gateway, handler).run(job_id, JobKind.DELIVER)
    assert handler.saved == [subject]


def test_a_message_for_an_unknown_job_is_ignored(gateway: Gateway) -> None:
    handler = ScriptedHandler()
    runner(gateway, handler).run(uuid4(), JobKind.DELIVER)
    assert handler.saved == []


def test_a_temporary_error_is_retried_later(gateway: Gateway, job_id: UUID) -> None:
    handler = ScriptedHandler(raises=PrerequisitePending("not published yet"))
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)
    assert (job.status, job.error, job.attempts) == (JobStatus.QUEUED, "not published yet", 1)
    assert job.due_at > NOON
    assert [failure.given_up for failure in handler.failures] == [False]


def test_a_permanent_error_dead_letters_the_job_at_once(gateway: Gateway, job_id: UUID) -> None:
    handler = ScriptedHandler(raises=WorkError("never"))
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    assert only_job(gateway).status is JobStatus.DEAD_LETTER
    assert [failure.given_up for failure in handler.failures] == [True]


def test_a_job_is_given_up_after_its_last_attempt(gateway: Gateway, job_id: UUID) -> None:
    handler = ScriptedHandler(raises=PrerequisitePending("not published yet"))
    for _ in range(jobs.MAX_ATTEMPTS[JobKind.DELIVER]):
        runner(gateway, handler).run(job_id, JobKind.DELIVER)
    assert only_job(gateway).status is JobStatus.DEAD_LETTER
    assert [failure.given_up for failure in handler.failures][-2:] == [False, True]


def test_an_unexpected_error_is_reported_without_its_text(
    gateway: Gateway, job_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    handler = ScriptedHandler(raises=ValueError("Muster^Anna"))
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)
    assert job.status is JobStatus.QUEUED
    assert job.error == "unexpected ValueError"
    assert "ValueError" in caplog.text
    assert "test_runner.py" in caplog.text
    assert "Muster" not in caplog.text


@pytest.mark.parametrize(
    ("full", "words"),
    [
        (OSError(28, "No space left on device", "/some/where"), "No space left on device"),
        (StoreFull(1, 2), "the disk has 1 bytes free"),
    ],
)
def test_a_full_disk_postpones_the_job_without_using_up_attempts(
    gateway: Gateway, job_id: UUID, full: Exception, words: str
) -> None:
    handler = ScriptedHandler(raises=full)
    for _ in range(30):
        runner(gateway, handler).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)
    assert words in job.error
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert job.due_at - gateway.clock() == jobs.POSTPONE_WHILE_FULL
    assert handler.failures == []


def test_the_result_of_a_lost_claim_is_not_saved(gateway: Gateway, job_id: UUID) -> None:
    def take_over(claim: Claim) -> None:
        gateway.clock.skip(minutes=5)
        with gateway.database.write() as session:
            jobs.take_due(session, gateway.clock())
            assert jobs.claim(session, claim.job_id, gateway.clock())

    handler = ScriptedHandler(meanwhile=take_over)
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)
    assert (job.status, job.attempts) == (JobStatus.RUNNING, 2)
    assert handler.saved == []


def test_the_failure_of_a_lost_claim_is_not_saved(gateway: Gateway, job_id: UUID) -> None:
    def take_over(claim: Claim) -> None:
        gateway.clock.skip(minutes=5)
        with gateway.database.write() as session:
            jobs.take_due(session, gateway.clock())
            assert jobs.claim(session, claim.job_id, gateway.clock())

    handler = ScriptedHandler(meanwhile=take_over, raises=WorkError("never"))
    runner(gateway, handler).run(job_id, JobKind.DELIVER)
    assert only_job(gateway).status is JobStatus.RUNNING
    assert handler.failures == []


def test_a_result_that_cannot_be_saved_is_rolled_back(gateway: Gateway, job_id: UUID) -> None:
    class UnsavableHandler(ScriptedHandler):
        def handle(self, claim: Claim, now: datetime) -> SaveResult:
            def save(session: Session, now: datetime) -> None:
                jobs.enqueue(session, JobKind.SIGN, key="x", subject_id=uuid4(), now=now)
                raise OSError(5, "Input/output error")

            return save

    runner(gateway, UnsavableHandler()).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)  # one row: the other was rolled back
    assert (job.kind, job.status) == (JobKind.DELIVER, JobStatus.QUEUED)


def test_without_a_free_slot_the_job_is_released(gateway: Gateway, job_id: UUID) -> None:
    with gateway.database.write() as session:
        jobs.take_due(session, NOON)
    handler, slots = ScriptedHandler(), ConcurrencySlots(2, 1)
    with slots.acquire(JobKind.DELIVER):
        runner(gateway, handler, slots).run(job_id, JobKind.DELIVER)
    job = only_job(gateway)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert job.due_at - NOON == timedelta(seconds=1)


def test_a_database_that_is_gone_does_not_raise(
    gateway: Gateway, job_id: UUID, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE job RENAME TO gone")
    runner(gateway, ScriptedHandler()).run(job_id, JobKind.DELIVER)
    assert str(job_id) in caplog.text
