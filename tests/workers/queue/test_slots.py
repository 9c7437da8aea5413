from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from db import jobs
from db.engine import Database
from db.jobs import Claim
from db.schema import Job, JobKind
from tests.workers.hospital import NOON, Hospital
from workers.queue.slots import ANALYSES, SHADOWS, THE_REST, ActiveLeases, ConcurrencySlots


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What differs between databases is the queue's business, and tested there."""
    return sqlite_database


def test_analyses_leave_hands_for_the_rest() -> None:
    slots = ConcurrencySlots(threads=3, analyses=1)
    with slots.taken(JobKind.ANALYZE) as first, slots.taken(JobKind.ANALYZE) as second:
        assert (first, second) == (True, False)
        assert slots.free() == {ANALYSES: 0, THE_REST: 2, SHADOWS: 0}


def test_the_rest_leaves_hands_for_analyses() -> None:
    slots = ConcurrencySlots(threads=3, analyses=1)
    with (
        slots.taken(JobKind.DELIVER),
        slots.taken(JobKind.PUBLISH),
        slots.taken(JobKind.SIGN) as no,
    ):
        assert not no
        with slots.taken(JobKind.ANALYZE) as yes:
            assert yes


def test_a_hand_is_free_again_afterwards_whatever_happened() -> None:
    slots = ConcurrencySlots(threads=2, analyses=1)
    with pytest.raises(ZeroDivisionError), slots.taken(JobKind.DELIVER):
        raise ZeroDivisionError
    with slots.taken(JobKind.DELIVER), slots.taken(JobKind.DELIVER) as refused:
        assert not refused
    assert slots.free() == {ANALYSES: 1, THE_REST: 1, SHADOWS: 0}


def test_a_shadow_takes_no_hand_of_others() -> None:
    slots = ConcurrencySlots(threads=2, analyses=1, shadows=1)
    with slots.taken(JobKind.SHADOW) as first, slots.taken(JobKind.SHADOW) as second:
        assert (first, second) == (True, False)
        assert slots.free() == {ANALYSES: 1, THE_REST: 1, SHADOWS: 0}


def test_a_worker_without_a_shadow_preset_takes_no_shadow() -> None:
    with ConcurrencySlots(threads=2, analyses=1).taken(JobKind.SHADOW) as taken:
        assert not taken


@pytest.fixture
def claim(hospital: Hospital) -> Claim:
    with hospital.database.write() as session:
        jobs.enqueue(session, JobKind.SIGN, key="k", subject_id=uuid4(), now=NOON)
    with hospital.database.write() as session:
        job_id = session.scalars(select(Job.id)).one()
        claim = jobs.claim(session, job_id, NOON)
        assert claim is not None
        return claim


def due_after(hospital: Hospital, held: ActiveLeases, seconds: float) -> float:
    """One beat so long after the claim; returns when the lease then runs out, in seconds."""
    with hospital.database.write() as session:
        held.beat(session, NOON + timedelta(seconds=seconds))
    with hospital.database.read() as session:
        return (session.scalars(select(Job)).one().due_at - NOON).total_seconds()


def test_a_held_claim_is_kept_alive(hospital: Hospital, claim: Claim) -> None:
    held = ActiveLeases(lease=timedelta(seconds=60), at_most=timedelta(seconds=300))
    with held.holding(claim, NOON):
        assert due_after(hospital, held, 50) == 110
    assert not held.any()
    assert due_after(hospital, held, 70) == 110


def test_a_job_that_hangs_is_let_go(hospital: Hospital, claim: Claim) -> None:
    held = ActiveLeases(lease=timedelta(seconds=60), at_most=timedelta(seconds=300))
    with held.holding(claim, NOON):
        due_after(hospital, held, 290)
        assert due_after(hospital, held, 301) == 350
        assert not held.any()


def test_a_claim_that_another_worker_has_is_dropped(hospital: Hospital, claim: Claim) -> None:
    held = ActiveLeases(lease=timedelta(seconds=60), at_most=timedelta(seconds=300))
    with held.holding(claim, NOON):
        with hospital.database.write() as session:
            jobs.take_due(session, NOON + timedelta(seconds=61))
            jobs.claim(session, claim.job_id, NOON + timedelta(seconds=61))
        assert due_after(hospital, held, 70) == 121
        assert not held.any()
