"""The queue in the job table: one winner, leases, fencing, backoff, dead letters."""

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


def ring(database: Database, now: datetime) -> list[UUID]:
    with database.write() as session:
        return [job_id for job_id, _ in jobs.take_due(session, now)]


def fail(
    database: Database, held: Claim, now: datetime = NOW, *, permanent: bool = False
) -> JobStatus | None:
    with database.write() as session:
        return jobs.fail(session, held, "no answer", now, permanent=permanent)


def look(database: Database, job_id: UUID) -> Job:
    with database.read() as session:
        return session.get_one(Job, job_id)


def test_the_same_work_is_queued_once(database: Database, job_id: UUID) -> None:
    with database.write() as session:
        again = jobs.enqueue(session, JobKind.ANALYZE, key="study:1", subject_id=uuid4(), now=NOW)
        assert again is None
        other = jobs.enqueue(session, JobKind.SIGN, key="study:1", subject_id=uuid4(), now=NOW)
        assert other is not None


def test_work_and_its_job_appear_together_or_not_at_all(database: Database) -> None:
    with suppress(RuntimeError), database.write() as session:
        jobs.enqueue(session, JobKind.ANALYZE, key="k", subject_id=uuid4(), now=NOW)
        raise RuntimeError
    assert ring(database, NOW) == []


# ------------------------------------------------------------------------------ ringing


def test_only_due_jobs_are_rung_the_most_overdue_first(database: Database) -> None:
    young = enqueue(database, "young", NOW - SECOND)
    old = enqueue(database, "old", NOW - 2 * SECOND)
    enqueue(database, "later", NOW + SECOND)
    assert ring(database, NOW) == [old, young]


def test_a_rung_job_is_rung_again_only_after_a_while(database: Database, job_id: UUID) -> None:
    assert ring(database, NOW) == [job_id]
    assert ring(database, NOW + REDISPATCH_AFTER - SECOND) == []
    assert ring(database, NOW + REDISPATCH_AFTER) == [job_id]


def test_two_sweeps_at_once_ring_each_job_once(database: Database) -> None:
    ids = [enqueue(database, str(number)) for number in range(20)]
    start = Barrier(4)

    def sweep(_: int) -> list[UUID]:
        start.wait(10)
        return ring(database, NOW)

    with ThreadPoolExecutor(4) as threads:
        rung = Counter(job_id for found in threads.map(sweep, range(4)) for job_id in found)
    assert rung == Counter(ids)


def test_a_job_that_nobody_claimed_yet_can_be_postponed(database: Database, job_id: UUID) -> None:
    with database.write() as session:
        assert jobs.postpone(session, JobKind.ANALYZE, "study:1", NOW + SECOND)
    assert ring(database, NOW) == []
    claimed(database, job_id)
    with database.write() as session:
        assert not jobs.postpone(session, JobKind.ANALYZE, "study:1", NOW)


# ------------------------------------------------------------------------------ claiming


def test_of_eight_workers_one_wins(database: Database, job_id: UUID) -> None:
    start = Barrier(8)

    def try_to(_: int) -> Claim | None:
        start.wait(10)
        return claim(database, job_id)

    with ThreadPoolExecutor(8) as threads:
        won = [found for found in threads.map(try_to, range(8)) if found]
    assert [found.attempt for found in won] == [1]


def test_a_job_that_does_not_exist_cannot_be_claimed(database: Database) -> None:
    assert claim(database, uuid4()) is None


def test_a_finished_job_is_done_for_good(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    with database.write() as session:
        jobs.finish(session, held, NOW)
    assert look(database, job_id).status is JobStatus.DONE
    assert claim(database, job_id) is None
    assert ring(database, NOW + timedelta(days=1)) == []


def test_a_worker_that_gives_signs_of_life_keeps_its_job(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    with database.write() as session:
        assert jobs.extend(session, held, NOW + LEASE / 2)
    assert ring(database, NOW + LEASE) == []


def test_a_dead_workers_job_goes_to_another_one(database: Database, job_id: UUID) -> None:
    claimed(database, job_id)
    assert ring(database, NOW + LEASE) == [job_id]
    assert claimed(database, job_id, NOW + LEASE).attempt == 2


def test_a_worker_that_came_back_too_late_changes_nothing(database: Database, job_id: UUID) -> None:
    late = claimed(database, job_id)
    ring(database, NOW + LEASE)
    claimed(database, job_id, NOW + LEASE)
    with database.write() as session:
        assert not jobs.extend(session, late, NOW + LEASE)
    assert fail(database, late) is None
    with pytest.raises(LostClaim), database.write() as session:
        jobs.finish(session, late, NOW + LEASE)
    assert look(database, job_id).status is JobStatus.RUNNING


# ------------------------------------------------------------------------------ failing


def test_a_failed_job_backs_off_and_tries_again(database: Database, job_id: UUID) -> None:
    held = claimed(database, job_id)
    assert fail(database, held) is JobStatus.QUEUED
    job = look(database, job_id)
    assert job.error == "no answer"
    assert FIRST_BACKOFF / 2 <= job.due_at - NOW <= FIRST_BACKOFF
    assert claimed(database, job_id, job.due_at).attempt == 2


def test_a_permanent_failure_is_buried_at_once(database: Database, job_id: UUID) -> None:
    assert fail(database, claimed(database, job_id), permanent=True) is JobStatus.DEAD_LETTER
    assert ring(database, NOW + timedelta(days=1)) == []


def test_the_last_attempt_is_the_last(database: Database, job_id: UUID) -> None:
    outcomes = []
    for _ in range(MAX_ATTEMPTS[JobKind.ANALYZE]):
        outcomes.append(fail(database, claimed(database, job_id)))
    assert outcomes == [JobStatus.QUEUED] * (len(outcomes) - 1) + [JobStatus.DEAD_LETTER]


def test_a_job_whose_worker_dies_every_time_is_buried(database: Database, job_id: UUID) -> None:
    now = NOW
    for _ in range(MAX_ATTEMPTS[JobKind.ANALYZE]):
        assert ring(database, now) == [job_id]
        claimed(database, job_id, now)
        now += LEASE
    assert ring(database, now) == []
    assert look(database, job_id).status is JobStatus.RUNNING  # nobody was told yet
    with database.write() as session:
        assert [job.id for job in jobs.dead_letter_lost(session, now)] == [job_id]
    job = look(database, job_id)
    assert job.status is JobStatus.DEAD_LETTER
    assert "died" in job.error


def test_a_dead_job_can_be_brought_back_once(database: Database, job_id: UUID) -> None:
    fail(database, claimed(database, job_id), permanent=True)
    with database.write() as session:
        assert jobs.retry(session, job_id, NOW)
        assert not jobs.retry(session, job_id, NOW)
    assert ring(database, NOW) == [job_id]
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
    assert len(look(database, job_id).error) == 1024


@pytest.mark.parametrize("attempts", range(1, 21))
def test_the_backoff_grows_to_its_limit_and_jitters(attempts: int) -> None:
    full = min(FIRST_BACKOFF * 2 ** (attempts - 1), LONGEST_BACKOFF)
    drawn = {jobs.backoff(attempts) for _ in range(20)}
    assert all(full / 2 <= one <= full for one in drawn)
    assert len(drawn) > 1
