import threading
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from db import jobs
from db.schema import Job, JobKind, JobStatus, Study, StudyStatus
from tests.workers.hospital import NOON, Hospital
from workers.queue.broker import BrokerUnavailable
from workers.queue.runner import job_handlers
from workers.queue.slots import ConcurrencySlots
from workers.queue.sweep import Loop, Sweep


@dataclass
class Ringer:
    """A broker that can be silenced."""

    silent: bool = False
    rung: list[UUID] = field(default_factory=list)
    tried: int = 0

    def ring(self, job_id: UUID, kind: JobKind) -> None:
        self.tried += 1
        if self.silent:
            raise BrokerUnavailable
        self.rung.append(job_id)

    def answers(self) -> bool:
        return not self.silent


@pytest.fixture
def ringer() -> Ringer:
    return Ringer()


@pytest.fixture
def slots() -> ConcurrencySlots:
    return ConcurrencySlots(threads=4, analyses=2)


@pytest.fixture
def sweep(hospital: Hospital, ringer: Ringer, slots: ConcurrencySlots) -> Sweep:
    return Sweep(hospital.services, ringer, slots, job_handlers(hospital.services), hospital.clock)


def queue(hospital: Hospital, kind: JobKind, count: int) -> list[UUID]:
    with hospital.database.write() as session:
        made = [
            jobs.enqueue(session, kind, key=f"{uuid4()}", subject_id=uuid4(), now=NOON)
            for _ in range(count)
        ]
        session.flush()
        return [job.id for job in made if job]


def test_it_rings_once_for_a_due_job(hospital: Hospital, sweep: Sweep, ringer: Ringer) -> None:
    expected = queue(hospital, JobKind.SIGN, 1)
    sweep()
    sweep()
    assert ringer.rung == expected


def test_a_job_that_nobody_took_is_rung_again(
    hospital: Hospital, sweep: Sweep, ringer: Ringer
) -> None:
    [job_id] = queue(hospital, JobKind.SIGN, 1)
    sweep()
    hospital.clock.skip(seconds=31)
    sweep()
    assert ringer.rung == [job_id, job_id]


def test_it_rings_for_as_many_jobs_as_there_are_hands_and_kinds_do_not_wait_for_each_other(
    hospital: Hospital, sweep: Sweep, ringer: Ringer, slots: ConcurrencySlots
) -> None:
    analyses = queue(hospital, JobKind.ANALYZE, 5)
    deliveries = queue(hospital, JobKind.DELIVER, 5)
    with slots.taken(JobKind.ANALYZE):
        sweep()
    assert len(set(ringer.rung) & set(analyses)) == 1
    assert len(set(ringer.rung) & set(deliveries)) == 2


def test_two_sweeps_do_not_ring_for_the_same_job(
    hospital: Hospital, sweep: Sweep, ringer: Ringer
) -> None:
    expected = queue(hospital, JobKind.SIGN, 4)
    other = Sweep(
        hospital.services,
        ringer,
        ConcurrencySlots(4, 2),
        job_handlers(hospital.services),
        hospital.clock,
    )
    threads = [threading.Thread(target=each) for each in (sweep, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ringer.rung) == sorted(expected)


def test_nothing_is_lost_while_redis_is_away(
    hospital: Hospital, sweep: Sweep, ringer: Ringer, caplog: pytest.LogCaptureFixture
) -> None:
    expected = queue(hospital, JobKind.SIGN, 2)
    ringer.silent = True
    for _ in range(3):
        sweep()
    assert (ringer.rung, ringer.tried) == ([], 1)
    assert caplog.text.count("Redis does not answer") == 1
    ringer.silent = False
    sweep()
    assert sorted(ringer.rung) == sorted(expected)


def test_a_job_whose_workers_died_every_time_is_told_to_people(
    hospital: Hospital, sweep: Sweep, ringer: Ringer
) -> None:
    study_id = _study_with_dying_analysis(hospital)
    sweep()
    with hospital.database.read() as session:
        study = session.get_one(Study, study_id)
        assert session.scalars(select(Job)).one().status is JobStatus.DEAD_LETTER
    assert study.status is StudyStatus.FAILED
    assert "the worker died every time" in study.status_reason
    assert hospital.tags() == ["worker:study:failed"]
    assert ringer.rung == []


def _study_with_dying_analysis(hospital: Hospital) -> UUID:
    study = Study(
        id=uuid4(), study_instance_uid="1.2.3", source_ae="SCANNER", status=StudyStatus.ANALYZING,
        revision=1, received_at=NOON, last_instance_at=NOON,
    )  # fmt: skip
    with hospital.database.write() as session:
        session.add(study)
        session.flush()
        job = jobs.enqueue(
            session, JobKind.ANALYZE, key=f"{study.id}:1", subject_id=study.id, now=NOON
        )
        assert job is not None
        session.flush()
        for _ in range(jobs.MAX_ATTEMPTS[JobKind.ANALYZE]):
            jobs.take_due(session, hospital.clock())
            assert jobs.claim(session, job.id, hospital.clock())
            hospital.clock.skip(minutes=2)
    return study.id


def test_a_loop_goes_on_after_errors_and_tells_them_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds: list[int] = []
    over = threading.Event()
    caplog.set_level("INFO")

    def action() -> None:
        rounds.append(len(rounds))
        if len(rounds) < 4:
            raise OSError(5, "Input/output error")
        over.set()

    loop = Loop("test", 0.01, action)
    loop.start()
    assert over.wait(10)
    loop.stop()
    loop.join()
    assert caplog.text.count("the test fails for now: the system says: Input/output error") == 1
    assert caplog.text.count("the test job_handlers again") == 1


def test_a_woken_loop_does_not_wait_for_its_time() -> None:
    first, again = threading.Event(), threading.Event()

    def action() -> None:
        (again if first.is_set() else first).set()

    loop = Loop("test", 600, action)
    loop.start()
    assert first.wait(10)
    loop.wake()
    assert again.wait(10)
    loop.stop()
    loop.join()
