from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from db import jobs
from db.engine import Database
from db.jobs import Claim
from db.schema import Job, JobKind
from tests.workers.gateway import NOON, Gateway
from workers.queue.slots import (
    ANALYSIS_KINDS,
    OTHER_KINDS,
    SHADOW_KINDS,
    ActiveLeases,
    ConcurrencySlots,
)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """What differs between databases is tested in tests/db/test_jobs.py."""
    return sqlite_database


def test_analyses_leave_slots_for_other_kinds() -> None:
    slots = ConcurrencySlots(threads=3, analyses=1)
    with slots.acquire(JobKind.ANALYZE) as first, slots.acquire(JobKind.ANALYZE) as second:
        assert (first, second) == (True, False)
        assert slots.free() == {ANALYSIS_KINDS: 0, OTHER_KINDS: 2, SHADOW_KINDS: 0}


def test_other_kinds_leave_slots_for_analyses() -> None:
    slots = ConcurrencySlots(threads=3, analyses=1)
    with (
        slots.acquire(JobKind.DELIVER),
        slots.acquire(JobKind.PUBLISH),
        slots.acquire(JobKind.SIGN) as third,
    ):
        assert not third
        with slots.acquire(JobKind.ANALYZE) as analysis:
            assert analysis


def test_a_slot_is_free_again_after_an_error() -> None:
    slots = ConcurrencySlots(threads=2, analyses=1)
    with pytest.raises(ZeroDivisionError), slots.acquire(JobKind.DELIVER):
        raise ZeroDivisionError
    with slots.acquire(JobKind.DELIVER), slots.acquire(JobKind.DELIVER) as refused:
        assert not refused
    assert slots.free() == {ANALYSIS_KINDS: 1, OTHER_KINDS: 1, SHADOW_KINDS: 0}


def test_a_shadow_analysis_has_a_slot_of_its_own() -> None:
    slots = ConcurrencySlots(threads=2, analyses=1, shadows=1)
    with slots.acquire(JobKind.SHADOW) as first, slots.acquire(JobKind.SHADOW) as second:
        assert (first, second) == (True, False)
        assert slots.free() == {ANALYSIS_KINDS: 1, OTHER_KINDS: 1, SHADOW_KINDS: 0}


def test_a_worker_without_a_shadow_preset_runs_no_shadow_analysis() -> None:
    with ConcurrencySlots(threads=2, analyses=1).acquire(JobKind.SHADOW) as acquired:
        assert not acquired


@pytest.fixture
def claim(gateway: Gateway) -> Claim:
    with gateway.database.write() as session:
        jobs.enqueue(session, JobKind.SIGN, key="k", subject_id=uuid4(), now=NOON)
    with gateway.database.write() as session:
        job_id = session.scalars(select(Job.id)).one()
        claim = jobs.claim(session, job_id, NOON)
        assert claim is not None
        return claim


def due_after(gateway: Gateway, leases: ActiveLeases, seconds: float) -> float:
    """Extend the lease so long after the claim; return when it then expires, in seconds."""
    with gateway.database.write() as session:
        leases.extend(session, NOON + timedelta(seconds=seconds))
    with gateway.database.read() as session:
        return (session.scalars(select(Job)).one().due_at - NOON).total_seconds()


def test_the_lease_of_a_running_job_is_extended(gateway: Gateway, claim: Claim) -> None:
    leases = ActiveLeases(lease=timedelta(seconds=60), job_timeout=timedelta(seconds=300))
    with leases.track(claim, NOON):
        assert due_after(gateway, leases, 50) == 110
    assert not len(leases)
    assert due_after(gateway, leases, 70) == 110


def test_the_lease_of_a_hung_job_expires(gateway: Gateway, claim: Claim) -> None:
    leases = ActiveLeases(lease=timedelta(seconds=60), job_timeout=timedelta(seconds=300))
    with leases.track(claim, NOON):
        due_after(gateway, leases, 290)
        assert due_after(gateway, leases, 301) == 350
        assert not len(leases)


def test_a_lost_claim_is_dropped(gateway: Gateway, claim: Claim) -> None:
    leases = ActiveLeases(lease=timedelta(seconds=60), job_timeout=timedelta(seconds=300))
    with leases.track(claim, NOON):
        with gateway.database.write() as session:
            jobs.take_due(session, NOON + timedelta(seconds=61))
            jobs.claim(session, claim.job_id, NOON + timedelta(seconds=61))
        assert due_after(gateway, leases, 70) == 121
        assert not len(leases)
