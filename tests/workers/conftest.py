"""A worker with real databases and files, and a fake predictor."""

from pathlib import Path

import pytest

from db.engine import Database
from db.routes_file import RoutesFile
from tests.workers.fake_images import FakePredictor
from tests.workers.gateway import Gateway
from workers.services import LazyPredictor, WorkerServices
from workers.settings import WorkerSettings

ROUTES = """
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
results = ["seg", "sr"]

[[destination]]
name = "reports-only"
ae_title = "REPORTS"
host = "127.0.0.1"
port = 1
results = ["sr"]

[[route]]
name = "breast"
description_contains = ["breast"]
destinations = ["pacs"]

[[route]]
name = "reports"
description_contains = ["report"]
destinations = ["reports-only"]
"""


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> WorkerSettings:
    (tmp_path / "routes.toml").write_text(ROUTES.format(port=free_port))
    return WorkerSettings(home=tmp_path, min_free_bytes=0, delivery_connect_timeout_seconds=2)


@pytest.fixture
def gateway(database: Database, settings: WorkerSettings) -> Gateway:
    """On SQLite and on PostgreSQL, without studies."""
    store = settings.file_store()
    store.prepare()
    routes = RoutesFile(settings.effective_routes_file)
    predictor = LazyPredictor(None, lambda _: FakePredictor())
    return Gateway(WorkerServices(settings, database, store, predictor, routes))
