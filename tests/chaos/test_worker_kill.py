"""kill -9, of workers and of Redis, at the worst moments: every result once, nothing lost."""

import signal
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db import audit
from db.engine import Database
from db.schema import (
    Analysis,
    DeliveredObject,
    Delivery,
    DeliveryStatus,
    Finding,
    JobKind,
    JobStatus,
    ResultObject,
    ResultSet,
    Study,
    StudyStatus,
)
from tests import peers
from tests.workers.hospital import Hospital
from tests.workers.pacs import Pacs, pacs
from tests.workers.painted import picture, study, write
from tests.workers.worker_process import worker

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]

LESION = picture((100, 80, 20))
LEASE = 4.0


@pytest.fixture
def database(postgresql_database: Database) -> Database:
    return postgresql_database


def delivered(hospital: Hospital, studies: int = 1) -> bool:
    with hospital.database.read() as session:
        statuses = session.scalars(select(Delivery.status)).all()
    return len(statuses) == studies and set(statuses) == {DeliveryStatus.DELIVERED}


def running(hospital: Hospital, kind: JobKind) -> bool:
    return hospital.job(kind).status is JobStatus.RUNNING


def assert_exactly_once(hospital: Hospital, there: Pacs, *, objects: int, findings: int) -> None:
    with hospital.database.read() as session:
        assert session.scalars(select(Study.status)).all() == [StudyStatus.ANALYZED]
        assert len(session.scalars(select(Analysis)).all()) == 1
        assert len(session.scalars(select(ResultSet)).all()) == 1
        assert session.scalar(select(func.count()).select_from(Finding)) == findings
        made = set(session.scalars(select(ResultObject.sop_instance_uid)))
        answered = session.scalars(select(DeliveredObject.status_code)).all()
        assert audit.verify(session).intact
    assert len(made) == objects
    assert answered == [0] * objects
    assert set(there.kept) == made


def test_a_worker_killed_in_mid_analysis_leaves_each_result_once(
    hospital: Hospital, redis_url: str, tmp_path: Path, free_port: int
) -> None:
    hospital.receive(write(tmp_path / "a.dcm", LESION))
    hospital.receive(write(tmp_path / "b.dcm", [LESION] * 4, number=2))
    first_image_done = hospital.services.store.root / "results"
    with pacs(port=free_port) as there:
        with worker(hospital, redis_url, seconds=3, lease_seconds=LEASE) as victim:
            peers.wait_until(
                lambda: any(first_image_done.rglob("*.png")), seconds=120, what="half an analysis"
            )
            assert running(hospital, JobKind.ANALYZE)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        assert running(hospital, JobKind.ANALYZE)
        with worker(hospital, redis_url, lease_seconds=LEASE):
            peers.wait_until(lambda: delivered(hospital), seconds=120, what="the delivery")
    assert hospital.job(JobKind.ANALYZE).attempts > 1
    assert_exactly_once(hospital, there, objects=3, findings=2 + 5)


def test_a_worker_killed_in_mid_delivery_delivers_every_object(
    hospital: Hospital, redis_url: str, tmp_path: Path, free_port: int
) -> None:
    hospital.receive(write(tmp_path / "a.dcm", LESION))
    asked, killed = threading.Event(), threading.Event()

    def hold(_: str) -> int:
        asked.set()
        killed.wait(120)
        return 0

    with pacs(port=free_port) as there:
        there.answer = hold
        with worker(hospital, redis_url, lease_seconds=LEASE) as victim:
            assert asked.wait(120)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            killed.set()
        with worker(hospital, redis_url, lease_seconds=LEASE):
            peers.wait_until(lambda: delivered(hospital), seconds=120, what="the delivery")
    assert_exactly_once(hospital, there, objects=2, findings=2)


def test_redis_killed_in_mid_analysis_and_back_loses_nothing(
    hospital: Hospital, tmp_path: Path, free_port: int
) -> None:
    hospital.receive(write(tmp_path / "a.dcm", LESION))
    with (
        peers.redis(tmp_path) as redis,
        pacs(port=free_port) as there,
        worker(hospital, redis.url, seconds=2),
    ):
        peers.wait_until(
            lambda: running(hospital, JobKind.ANALYZE), seconds=120, what="the analysis"
        )
        redis.kill()
        peers.wait_until(
            lambda: hospital.job(JobKind.ANALYZE).status is JobStatus.DONE,
            seconds=120,
            what="the end of the analysis, which needs no Redis",
        )
        hospital.receive(write(tmp_path / "b.dcm", LESION, facts=study("1.2.3.5")))
        peers.wait_until(
            lambda: "Redis does not answer" in (tmp_path / "worker.log").read_text(),
            seconds=120,
            what="a word about Redis",
        )
        redis.start()
        peers.wait_until(lambda: delivered(hospital, studies=2), seconds=120, what="the deliveries")
    assert (tmp_path / "worker.log").read_text().count("Redis does not answer") == 1
    with hospital.database.read() as session:
        made = session.scalars(select(ResultObject.sop_instance_uid)).all()
    assert sorted(uid for _, uid in there.asked) == sorted(made)
    assert len(made) == 4
