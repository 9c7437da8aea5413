"""Sonogate's services as processes between a real modality and a real PACS."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from db import migrate
from db.engine import Database
from tests import peers


@dataclass(frozen=True)
class RunningServices:
    """Listener, indexer, worker and web, each as a separate process, as in Docker Compose."""

    database: Database
    dicom_port: int
    web_port: int
    home: Path


def format_routes(pacs: peers.Orthanc) -> str:
    return f"""
[[source]]
ae_title = "STORESCU"
stable_after_seconds = 2

[[destination]]
name = "pacs"
ae_title = "{pacs.ae_title}"
host = "127.0.0.1"
port = {pacs.dicom_port}

[[route]]
name = "all"
destinations = ["pacs"]
"""


@contextmanager
def run_services(
    home: Path, pacs: peers.Orthanc, redis_url: str, database_url: str
) -> Iterator[RunningServices]:
    home.mkdir()
    (home / "routes.toml").write_text(format_routes(pacs))
    dicom_port, web_port = peers.free_port(), peers.free_port()
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": database_url,
        "SONOGATE_REDIS_URL": redis_url,
        "SONOGATE_DICOM_PORT": str(dicom_port),
        "SONOGATE_WEB_PORT": str(web_port),
        "SONOGATE_MIN_FREE_BYTES": "0",
        "SONOGATE_MAX_CINE_FRAMES": "4",  # enough to test cines, in an eighth of the time
    }
    database = Database(database_url)
    migrate.upgrade(database.engine)
    with ExitStack() as processes:
        for service in ("listener", "indexer", "worker", "web"):
            command = [sys.executable, "-m", "sonogate", service]
            log = home / f"{service}.log"
            processes.enter_context(peers.run_process(command, log=log, env=environment))
        for port in (dicom_port, web_port):
            peers.wait_until(lambda p=port: peers.is_listening(p), seconds=60, what="Sonogate")  # type: ignore[misc]  # mypy cannot type a lambda's default
        yield RunningServices(database, dicom_port, web_port, home)
    database.close()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Orthanc]:
    with peers.orthanc(tmp_path_factory.mktemp("orthanc")) as pacs:
        yield pacs
