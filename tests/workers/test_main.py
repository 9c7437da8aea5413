"""A real worker process with Redis and a PACS."""

from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.errors import SettingsError
from db.schema import (
    Analysis,
    Delivery,
    DeliveryStatus,
    Destination,
    JobKind,
    JobStatus,
    ResultObject,
    ShadowAnalysis,
)
from tests import peers
from tests.workers.fake_images import draw_frame, write_image
from tests.workers.gateway import Gateway
from tests.workers.pacs import run_pacs
from tests.workers.worker_process import worker
from workers.errors import WorkError
from workers.main import open_services
from workers.settings import WorkerSettings


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """The chaos tests use PostgreSQL."""
    return sqlite_database


@pytest.mark.peer
def test_a_worker_analyzes_a_study_and_delivers_its_results(
    gateway: Gateway, redis_url: str, tmp_path: Path, free_port: int
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))
    gateway.receive(write_image(tmp_path / "b.dcm", [draw_frame((100, 80, 20))] * 3, number=2))

    def delivered() -> bool:
        with gateway.database.read() as session:
            statuses = session.scalars(select(Delivery.status)).all()
        return list(statuses) == [DeliveryStatus.DELIVERED]

    with run_pacs(port=free_port) as pacs, worker(gateway, redis_url) as process:
        peers.wait_until(delivered, seconds=120, what="the delivery")
        process.terminate()
        assert process.wait(120) == 0
    with gateway.database.read() as session:
        made = session.scalars(select(ResultObject.sop_instance_uid)).all()
    assert len(made) == 3
    assert sorted(uid for _, uid in pacs.received) == sorted(made)
    log = (tmp_path / "worker.log").read_text()
    assert "worker ready" in log
    assert "Muster" not in log
    assert "1.2.3.4" not in log


@pytest.mark.peer
def test_a_shadow_preset_has_a_thread_of_its_own_beside_the_active_one(
    gateway: Gateway, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_SHADOW_PRESET_DIR", str(tmp_path / "candidate"))
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))

    def compared() -> bool:
        with gateway.database.read() as session:
            return session.scalars(select(ShadowAnalysis)).first() is not None

    with worker(gateway, redis_url) as process:
        peers.wait_until(compared, seconds=120, what="the shadow's rows")
        process.terminate()
        assert process.wait(120) == 0
    with gateway.database.read() as session:
        shadow = session.scalars(select(ShadowAnalysis)).one()
        assert (shadow.preset_name, shadow.agrees) == ("candidate", True)
        assert session.scalars(select(Analysis.pipeline_version)).one() != shadow.pipeline_version


@pytest.mark.peer
def test_a_worker_finishes_its_job_before_it_stops(
    gateway: Gateway, redis_url: str, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))
    with worker(gateway, redis_url, seconds=2) as process:
        peers.wait_until(
            lambda: gateway.job(JobKind.ANALYZE).status is JobStatus.RUNNING,
            seconds=120,
            what="the analysis",
        )
        process.terminate()
        assert process.wait(120) == 0
    assert gateway.job(JobKind.ANALYZE).status is JobStatus.DONE


def test_destinations_are_in_the_database_before_the_first_job(
    sqlite_database: Database, settings: WorkerSettings
) -> None:
    open_services(settings.model_copy(update={"database_url": sqlite_database.url}))
    with sqlite_database.read() as session:
        assert set(session.scalars(select(Destination.name))) == {"pacs", "reports-only"}


def test_an_invalid_routes_file_stops_the_start_and_is_named(settings: WorkerSettings) -> None:
    settings.effective_routes_file.write_text("[[route]]\nname = 1\n")
    with pytest.raises(SettingsError, match=r"routes\.toml.*route\.0\.name"):
        open_services(settings)


def test_an_unknown_result_stops_the_start(settings: WorkerSettings) -> None:
    path = settings.effective_routes_file
    path.write_text(path.read_text().replace('results = ["sr"]', 'results = ["sr", "pdf"]'))
    complaint = (
        r"routes\.toml: destination 'reports-only': 'pdf' is not a result kind. Use one of: seg, sr"
    )
    with pytest.raises(SettingsError, match=complaint):
        open_services(settings)


def test_a_database_without_a_schema_stops_the_start(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    empty = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'empty.db'}"})
    with pytest.raises(WorkError, match="sonogate db upgrade"):
        open_services(empty)
