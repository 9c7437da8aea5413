"""SIGKILL of workers and of Redis: every result is created once, and nothing is lost."""

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
from tests.workers.fake_images import draw_frame, study, write_image
from tests.workers.gateway import Gateway
from tests.workers.pacs import Pacs, run_pacs
from tests.workers.worker_process import worker

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]

LESION = draw_frame((100, 80, 20))
LEASE = 4.0


@pytest.fixture
def database(postgresql_database: Database) -> Database:
    return postgresql_database


def are_delivered(gateway: Gateway, studies: int = 1) -> bool:
    with gateway.database.read() as session:
        statuses = session.scalars(select(Delivery.status)).all()
    return len(statuses) == studies and set(statuses) == {DeliveryStatus.DELIVERED}


def is_running(gateway: Gateway, kind: JobKind) -> bool:
    return gateway.job(kind).status is JobStatus.RUNNING


def assert_exactly_once(
    gateway: Gateway, destination: Pacs, *, objects: int, findings: int
) -> None:
    with gateway.database.read() as session:
        assert session.scalars(select(Study.status)).all() == [StudyStatus.ANALYZED]
        assert len(session.scalars(select(Analysis)).all()) == 1
        assert len(session.scalars(select(ResultSet)).all()) == 1
        assert session.scalar(select(func.count()).select_from(Finding)) == findings
        uids = set(session.scalars(select(ResultObject.sop_instance_uid)))
        status_codes = session.scalars(select(DeliveredObject.status_code)).all()
        assert audit.verify(session).intact
    assert len(uids) == objects
    assert status_codes == [0] * objects
    assert set(destination.stored) == uids


def test_a_worker_killed_during_analysis_creates_each_result_once(
    gateway: Gateway, redis_url: str, tmp_path: Path, free_port: int
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    gateway.receive(write_image(tmp_path / "b.dcm", [LESION] * 4, number=2))
    first_image_done = gateway.services.store.root / "results"
    with run_pacs(port=free_port) as destination:
        with worker(gateway, redis_url, seconds=3, lease_seconds=LEASE) as victim:
            peers.wait_until(
                lambda: any(first_image_done.rglob("*.png")), seconds=120, what="half an analysis"
            )
            assert is_running(gateway, JobKind.ANALYZE)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        assert is_running(gateway, JobKind.ANALYZE)
        with worker(gateway, redis_url, lease_seconds=LEASE):
            peers.wait_until(lambda: are_delivered(gateway), seconds=120, what="the delivery")
    assert gateway.job(JobKind.ANALYZE).attempts > 1
    assert_exactly_once(gateway, destination, objects=3, findings=2 + 5)


def test_a_worker_killed_during_delivery_delivers_every_object(
    gateway: Gateway, redis_url: str, tmp_path: Path, free_port: int
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    requested, killed = threading.Event(), threading.Event()

    def wait_for_kill(_: str) -> int:
        requested.set()
        killed.wait(120)
        return 0

    with run_pacs(port=free_port) as destination:
        destination.status_for = wait_for_kill
        with worker(gateway, redis_url, lease_seconds=LEASE) as victim:
            assert requested.wait(120)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            killed.set()
        with worker(gateway, redis_url, lease_seconds=LEASE):
            peers.wait_until(lambda: are_delivered(gateway), seconds=120, what="the delivery")
    assert_exactly_once(gateway, destination, objects=2, findings=2)


def test_redis_killed_during_analysis_and_restarted_loses_nothing(
    gateway: Gateway, tmp_path: Path, free_port: int
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", LESION))
    with (
        peers.redis(tmp_path) as redis,
        run_pacs(port=free_port) as destination,
        worker(gateway, redis.url, seconds=2),
    ):
        peers.wait_until(
            lambda: is_running(gateway, JobKind.ANALYZE), seconds=120, what="the analysis"
        )
        redis.kill()
        peers.wait_until(
            lambda: gateway.job(JobKind.ANALYZE).status is JobStatus.DONE,
            seconds=120,
            what="the end of the analysis, which needs no Redis",
        )
        gateway.receive(write_image(tmp_path / "b.dcm", LESION, facts=study("1.2.3.5")))
        peers.wait_until(
            lambda: "Redis does not answer" in (tmp_path / "worker.log").read_text(),
            seconds=120,
            what="the log line about Redis",
        )
        redis.start()
        peers.wait_until(
            lambda: are_delivered(gateway, studies=2), seconds=120, what="the deliveries"
        )
    assert (tmp_path / "worker.log").read_text().count("Redis does not answer") == 1
    with gateway.database.read() as session:
        uids = session.scalars(select(ResultObject.sop_instance_uid)).all()
    assert sorted(uid for _, uid in destination.received) == sorted(uids)
    assert len(uids) == 4
