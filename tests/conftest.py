"""Fixtures for all tests: databases, Redis, free ports, shared data."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from playwright.sync_api import Browser
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from db import migrate
from db.engine import Database
from dicom.images import decoder_pool
from dicom.images.limits import DecodingLimits, get_decoding_limits, set_decoding_limits
from tests import browser, peers
from tests.dicom.images.bad_decoder import PROGRAM as BAD_DECODER

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _remove_settings_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("SONOGATE_")]:
        monkeypatch.delenv(variable)


class SetLimits(Protocol):
    """Sets limits of decoding; the others have their defaults."""

    def __call__(self, **limits: Any) -> None: ...


@pytest.fixture
def decoding_limits() -> Iterator[SetLimits]:
    """A function that sets limits of decoding until the test ends."""
    former = get_decoding_limits()
    yield lambda **limits: set_decoding_limits(DecodingLimits(**limits))
    set_decoding_limits(former)


@pytest.fixture
def bad_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compressed frames are decoded by `tests.dicom.images.bad_decoder`."""
    decoder_pool.stop_idle_processes()
    monkeypatch.setattr(decoder_pool, "PROGRAM", ["-c", BAD_DECODER])
    yield
    decoder_pool.stop_idle_processes()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real ultrasound images and DICOM files in a folder beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared/data with real ultrasound data does not exist")
    return SHARED


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for the session, because a thread can run Playwright only once."""
    with browser.chromium() as running:
        yield running


@pytest.fixture
def free_port() -> int:
    return peers.free_port()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy, which is a hundred times faster than migrating."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database.engine)
    database.close()
    return path


@pytest.fixture
def sqlite_database(tmp_path: Path, _migrated_file: Path) -> Iterator[Database]:
    path = shutil.copy(_migrated_file, tmp_path / "sonogate.db")
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the maintenance database of a PostgreSQL server for the whole session."""
    with peers.postgresql(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@contextmanager
def _create_postgresql_database(server_url: str, template: str) -> Iterator[str]:
    name = f"t{uuid4().hex}"
    server = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(scope="session")
def _migrated_template(postgresql_server: str) -> Iterator[str]:
    with _create_postgresql_database(postgresql_server, "template1") as url:
        database = Database(url)
        migrate.upgrade(database.engine)
        database.close()
        yield str(make_url(url).database)


@pytest.fixture
def postgresql_url(postgresql_server: str, _migrated_template: str) -> Iterator[str]:
    """URL of a new, migrated database."""
    with _create_postgresql_database(postgresql_server, _migrated_template) as url:
        yield url


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[Database]:
    database = Database(postgresql_url)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated, empty database. Each test runs on SQLite and on PostgreSQL."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with peers.redis(tmp_path) as server:
        yield server.url
