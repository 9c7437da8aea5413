import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from db import jobs
from db.incoming import IncomingName, new_instance_id
from db.schema import Job, JobKind, JobStatus, Study, StudyStatus
from tests.workers.gateway import NOON, Gateway
from workers.queue.broker import BrokerUnavailable
from workers.queue.runner import job_handlers
from workers.queue.slots import ConcurrencySlots
from workers.queue.sweep import PeriodicThread, Sweep


@dataclass
class FakeBroker:
    """A broker that can be down."""

    down: bool = False
    dispatched: list[UUID] = field(default_factory=list)
    attempts: int = 0

    def dispatch(self, job_id: UUID, kind: JobKind) -> None:
        self.attempts += 1
        if self.down:
            raise BrokerUnavailable
        self.dispatched.append(job_id)

    def is_available(self) -> bool:
        return not self.down


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def slots() -> ConcurrencySlots:
    return ConcurrencySlots(threads=4, analyses=2)


@pytest.fixture
def sweep(gateway: Gateway, broker: FakeBroker, slots: ConcurrencySlots) -> Sweep:
    return Sweep(gateway.services, broker, slots, job_handlers(gateway.services), gateway.clock)


def queue(gateway: Gateway, kind: JobKind, count: int) -> list[UUID]:
    with gateway.database.write() as session:
        made = [
            jobs.enqueue(session, kind, key=f"{uuid4()}", subject_id=uuid4(), now=NOON)
            for _ in range(count)
        ]
        session.flush()
        return [job.id for job in made if job]


def test_it_dispatches_a_due_job_once(gateway: Gateway, sweep: Sweep, broker: FakeBroker) -> None:
    expected = queue(gateway, JobKind.SIGN, 1)
    sweep()
    sweep()
    assert broker.dispatched == expected


def add_incoming(gateway: Gateway, folder: str, *, seconds_before_now: float) -> Path:
    """Add a received file that the indexer has not seen, as if the indexer were stopped."""
    files = gateway.services.store
    received_at = gateway.clock() - timedelta(seconds=seconds_before_now)
    path = files.root / folder / str(IncomingName(new_instance_id(received_at), 0))
    path.touch()
    return path


@pytest.mark.parametrize("folder", ["incoming", "spool"])
def test_no_study_closes_before_the_files_received_until_then_have_rows(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker, folder: str
) -> None:
    analysis, other = queue(gateway, JobKind.ANALYZE, 1) + queue(gateway, JobKind.SIGN, 1)
    gateway.clock.skip(seconds=10)
    waiting = add_incoming(gateway, folder, seconds_before_now=11)
    sweep()
    assert broker.dispatched == [other]
    gateway.clock.skip(seconds=100)
    sweep()
    assert analysis not in broker.dispatched
    waiting.unlink()
    sweep()
    assert analysis in broker.dispatched


def test_a_file_received_after_a_study_was_due_does_not_hold_it_up(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker
) -> None:
    expected = queue(gateway, JobKind.ANALYZE, 1)
    gateway.clock.skip(seconds=10)
    add_incoming(gateway, "incoming", seconds_before_now=9)
    sweep()
    assert broker.dispatched == expected


def test_an_unclaimed_job_is_dispatched_again(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker
) -> None:
    [job_id] = queue(gateway, JobKind.SIGN, 1)
    sweep()
    gateway.clock.skip(seconds=31)
    sweep()
    assert broker.dispatched == [job_id, job_id]


def test_it_dispatches_as_many_jobs_of_a_kind_as_there_are_free_slots(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker, slots: ConcurrencySlots
) -> None:
    analyses = queue(gateway, JobKind.ANALYZE, 5)
    deliveries = queue(gateway, JobKind.DELIVER, 5)
    with slots.acquire(JobKind.ANALYZE):
        sweep()
    assert len(set(broker.dispatched) & set(analyses)) == 1
    assert len(set(broker.dispatched) & set(deliveries)) == 2


def test_two_sweeps_do_not_dispatch_the_same_job(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker
) -> None:
    expected = queue(gateway, JobKind.SIGN, 4)
    other = Sweep(
        gateway.services,
        broker,
        ConcurrencySlots(4, 2),
        job_handlers(gateway.services),
        gateway.clock,
    )
    threads = [threading.Thread(target=each) for each in (sweep, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(broker.dispatched) == sorted(expected)


def test_no_job_is_lost_while_redis_is_down(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    expected = queue(gateway, JobKind.SIGN, 2)
    broker.down = True
    for _ in range(3):
        sweep()
    assert (broker.dispatched, broker.attempts) == ([], 1)
    assert caplog.text.count("Redis does not answer") == 1
    broker.down = False
    sweep()
    assert sorted(broker.dispatched) == sorted(expected)


def test_a_job_whose_worker_stopped_every_time_is_dead_lettered(
    gateway: Gateway, sweep: Sweep, broker: FakeBroker
) -> None:
    study_id = _study_with_lost_analysis(gateway)
    sweep()
    with gateway.database.read() as session:
        study = session.get_one(Study, study_id)
        assert session.scalars(select(Job)).one().status is JobStatus.DEAD_LETTER
    assert study.status is StudyStatus.FAILED
    assert "the worker stopped during every attempt" in study.status_reason
    assert gateway.tags() == ["worker:study:failed"]
    assert broker.dispatched == []


def _study_with_lost_analysis(gateway: Gateway) -> UUID:
    study = Study(
        id=uuid4(), study_instance_uid="1.2.3", source_ae="SCANNER", status=StudyStatus.ANALYZING,
        revision=1, received_at=NOON, last_instance_at=NOON,
    )  # fmt: skip
    with gateway.database.write() as session:
        session.add(study)
        session.flush()
        job = jobs.enqueue(
            session, JobKind.ANALYZE, key=f"{study.id}:1", subject_id=study.id, now=NOON
        )
        assert job is not None
        session.flush()
        for _ in range(jobs.MAX_ATTEMPTS[JobKind.ANALYZE]):
            jobs.take_due(session, gateway.clock())
            assert jobs.claim(session, job.id, gateway.clock())
            gateway.clock.skip(minutes=2)
    return study.id


def test_a_periodic_thread_survives_errors_and_logs_them_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[int] = []
    over = threading.Event()
    caplog.set_level("INFO")

    def action() -> None:
        runs.append(len(runs))
        if len(runs) < 4:
            raise OSError(5, "Input/output error")
        over.set()

    thread = PeriodicThread("test", 0.01, action)
    thread.start()
    assert over.wait(10)
    thread.stop()
    thread.join()
    assert caplog.text.count("test is failing: operating system error: Input/output error") == 1
    assert caplog.text.count("test has recovered") == 1


def test_a_woken_thread_does_not_wait_for_its_interval() -> None:
    first, again = threading.Event(), threading.Event()

    def action() -> None:
        (again if first.is_set() else first).set()

    thread = PeriodicThread("test", 600, action)
    thread.start()
    assert first.wait(10)
    thread.wake()
    assert again.wait(10)
    thread.stop()
    thread.join()
