"""The job queue: claims, leases, fencing tokens, backoff, dead letters."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest

from db import jobs
from db.engine import Database
from db.errors import LostClaim
from db.jobs import FIRST_BACKOFF, LEASE, LONGEST_BACKOFF, MAX_ATTEMPTS, REDISPATCH_AFTER, Claim
from db.schema import Job, JobKind, JobStatus

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def job_id(database: Database) -> UUID:
    """An analysis that is due."""
    return enqueue(database)


def enqueue(database: Database, key: str = "study:1", due_at: datetime = NOW) -> UUID:
    with database.write() as session:
        job = jobs.enqueue(
            session, JobKind.ANALYZE, key=key, subject_id=uuid4(), now=NOW, due_at=due_at
        )
        assert job is not None
    return job.id


def claim(database: Database, job_id: UUID, now: datetime = NOW) -> Claim | None:
    with database.write() as session:
        return jobs.claim(session, job_id, now)


def claimed(database: Database, job_id: UUID, now: datetime = NOW) -> Claim:
    won = claim(database, job_id, now)
    assert won is not None
    return won


def take_due(database: Database, now: datetime) -> list[UUID]:
    with database.write() as session:
        return [job_id for job_id, _ in jobs.take_due(session, now)]


def fail(
    database: Database, claim: Claim, now: datetime = NOW, *, permanent: bool = False
) -> JobStatus | None:
    with database.write() as session:
        return jobs.fail(session, claim, "no answer", now, permanent=permanent)


def load_job(database: Database, job_id: UUID) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def test_the_same_job_is_queued_once(database: Database, job_id: UUID) -> None:
    with database.write() as session:
        again = jobs.enqueue(session, JobKind.ANALYZE, key="study:1", subject_id=uuid4(), now=NOW)
        assert again is None
        other = jobs.enqueue(session, JobKind.SIGN, key="study:1", subject_id=uuid4(), now=NOW)
        assert other is not None


def test_a_job_is_added_in_the_callers_transaction(database: Database) -> None:
    with suppress(RuntimeError), database.write() as session:
        jobs.enqueue(session, JobKind.ANALYZE, key="k", subject_id=uuid4(), now=NOW)
        raise RuntimeError
    assert take_due(database, NOW) == []


# ------------------------------------------------------------------------------ dispatch


def test_due_jobs_are_dispatched_the_most_overdue_first(database: Database) -> None:
    young = enqueue(database, "young", NOW - SECOND)
    old = enqueue(database, "old", NOW - 2 * SECOND)
    enqueue(database, "later", NOW + SECOND)
    assert take_due(database, NOW) == [old, young]


def test_a_dispatched_job_is_dispatched_again_only_after_a_while(
    database: Database, job_id: UUID
) -> None:
    assert take_due(database, NOW) == [job_id]
    assert take_due(database, NOW + REDISPATCH_AFTER - SECOND) == []
    assert take_due(database, NOW + REDISPATCH_AFTER) == [job_id]


def test_concurrent_sweeps_dispatch_each_job_once(database: Database) -> None:
    ids = [enqueue(database, str(number)) for number in range(20)]
    start = Barrier(4)

    def sweep(_: int) -> list[UUID]:
        start.wait(10)
        return take_due(database, NOW)

    with ThreadPoolExecutor(4) as threads:
        dispatched = Counter(job_id for due in threads.map(sweep, range(4)) for job_id in due)
    assert dispatched == Counter(ids)


def test_only_a_job_that_was_never_claimed_can_be_rescheduled(
    database: Database, job_id: UUID
) -> None:
    with database.write() as session:
        assert jobs.reschedule(session, JobKind.ANALYZE, "study:1", NOW + SECOND)
    assert take_due(database, NOW) == []
    claimed(database, job_id)
    with database.write() as session:
        assert not jobs.reschedule(session, JobKind.ANALYZE, "study:1", NOW)


# ------------------------------------------------------------------------------ claims


def test_one_of_eight_workers_gets_the_claim(database: Database, job_id: UUID) -> None:
    start = Barrier(8)

    def try_to(_: int) -> Claim | None:
        start.wait(10)
        return claim(database, job_id)

    with ThreadPoolExecutor(8) as threads:
        claims = [claim for claim in threads.map(try_to, range(8)) if claim]
    assert [claim.attempt for claim in claims] == [1]


def test_a_job_that_does_not_exist_cannot_be_claimed(database: Database) -> None:
    assert claim(database, uuid4()) is None


def test_a_finished_job_is_never_claimed_again(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    with database.write() as session:
        jobs.finish(session, held, NOW)
    assert load_job(database, job_id).status is JobStatus.DONE
    assert claim(database, job_id) is None
    assert take_due(database, NOW + timedelta(days=1)) == []


def test_a_heartbeat_extends_the_lease(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    with database.write() as session:
        assert jobs.extend(session, held, NOW + LEASE / 2)
    assert take_due(database, NOW + LEASE) == []


def test_a_job_whose_lease_expired_goes_to_another_worker(database: Database, job_id: UUID) -> None:
    claimed(database, job_id)
    assert take_due(database, NOW + LEASE) == [job_id]
    assert claimed(database, job_id, NOW + LEASE).attempt == 2


def test_a_lost_claim_changes_nothing(database: Database, job_id: UUID) -> None:
    late = claimed(database, job_id)
    take_due(database, NOW + LEASE)
    claimed(database, job_id, NOW + LEASE)
    with database.write() as session:
        assert not jobs.extend(session, late, NOW + LEASE)
    assert fail(database, late) is None
    with pytest.raises(LostClaim), database.write() as session:
        jobs.finish(session, late, NOW + LEASE)
    assert load_job(database, job_id).status is JobStatus.RUNNING


# ------------------------------------------------------------------------------ failures


def test_a_failed_job_is_retried_after_a_backoff(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    assert fail(database, held) is JobStatus.QUEUED
    job = load_job(database, job_id)
    assert job.error == "no answer"
    assert FIRST_BACKOFF / 2 <= job.due_at - NOW <= FIRST_BACKOFF
    assert claimed(database, job_id, job.due_at).attempt == 2


def test_a_permanent_failure_is_dead_lettered_at_once(database: Database, job_id: UUID) -> None:
    assert fail(database, claimed(database, job_id), permanent=True) is JobStatus.DEAD_LETTER
    assert take_due(database, NOW + timedelta(days=1)) == []


def test_a_job_is_dead_lettered_after_its_last_attempt(database: Database, job_id: UUID) -> None:
    outcomes = []
    for _ in range(MAX_ATTEMPTS[JobKind.ANALYZE]):
        outcomes.append(fail(database, claimed(database, job_id)))
    assert outcomes == [JobStatus.QUEUED] * (len(outcomes) - 1) + [JobStatus.DEAD_LETTER]


def test_a_job_whose_worker_stops_every_time_is_dead_lettered(
    database: Database, job_id: UUID
) -> None:
    now = NOW
    for _ in range(MAX_ATTEMPTS[JobKind.ANALYZE]):
        assert take_due(database, now) == [job_id]
        claimed(database, job_id, now)
        now += LEASE
    assert take_due(database, now) == []
    assert load_job(database, job_id).status is JobStatus.RUNNING
    with database.write() as session:
        assert [job.id for job in jobs.dead_letter_expired(session, now)] == [job_id]
    job = load_job(database, job_id)
    assert job.status is JobStatus.DEAD_LETTER
    assert "stopped" in job.error


def test_a_dead_job_can_be_brought_back_once(database: Database, job_id: UUID) -> None:
    fail(database, claimed(database, job_id), permanent=True)
    with database.write() as session:
        assert jobs.retry(session, job_id, NOW)
        assert not jobs.retry(session, job_id, NOW)
    assert take_due(database, NOW) == [job_id]
    claimed(database, job_id)


def test_a_worker_from_before_the_dead_letter_cannot_finish_the_job_of_another(
    database: Database, job_id: UUID
) -> None:
    late = claimed(database, job_id)
    fail(database, late, permanent=True)
    with database.write() as session:
        jobs.retry(session, job_id, NOW)
    current = claimed(database, job_id)
    with pytest.raises(LostClaim), database.write() as session:
        jobs.finish(session, late, NOW)
    with database.write() as session:
        jobs.finish(session, current, NOW)


def test_a_long_error_is_clipped_to_its_column(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    with database.write() as session:
        jobs.fail(session, held, "x" * 5000, NOW)
    assert len(load_job(database, job_id).error) == 1024


@pytest.mark.parametrize("attempts", range(1, 21))
def test_the_backoff_grows_to_its_limit_and_jitters(attempts: int) -> None:
    full = min(FIRST_BACKOFF * 2 ** (attempts - 1), LONGEST_BACKOFF)
    drawn = {jobs.backoff(attempts) for _ in range(20)}
    assert all(full / 2 <= one <= full for one in drawn)
    assert len(drawn) > 1
