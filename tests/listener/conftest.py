"""A running listener over a real database, and eyes to see what it did."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Database
from db.schema import AuditEvent, Instance, SenderCount
from listener.server import Listener
from listener.settings import ListenerSettings
from tests import peers
from tests.listener import sending


@dataclass(frozen=True)
class Door:
    """A listener that runs, seen from outside."""

    listener: Listener
    database: Database

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def files(self) -> Path:
        return self.listener.files.root

    def instances(self) -> list[Instance]:
        with self.database.read() as session:
            return list(session.scalars(select(Instance).order_by(Instance.received_at)))

    def stored_files(self) -> list[Path]:
        return sorted((self.files / "instances").rglob("*.dcm"))

    def spooled(self) -> list[Path]:
        return list((self.files / "spool").iterdir())

    def counts(self) -> dict[str, int]:
        with self.database.read() as session:
            return {row.event: row.count for row in session.scalars(select(SenderCount))}

    def wait_for_counts(self, counts: dict[str, int]) -> None:
        """What happens after the answer went out is counted a moment later."""
        peers.wait_until(lambda: self.counts() == counts, seconds=5, what=f"{counts}")

    def events(self, tag: str) -> list[dict[str, Any]]:
        with self.database.read() as session:
            query = select(AuditEvent).where(AuditEvent.tag == tag).order_by(AuditEvent.seq)
            return [json.loads(event.details) for event in session.scalars(query)]


Opener = Callable[..., Door]


def settings_for(home: Path, database: Database, **overrides: Any) -> ListenerSettings:
    return ListenerSettings.load(
        **{
            "home": home,
            "database_url": database.url,
            "dicom_port": 0,
            "min_free_bytes": 0,
            "dicom_stop_grace_seconds": 2,
        }
        | overrides
    )


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Opener]:
    """Starts listeners that stop with the test."""
    with ExitStack() as running:

        def opened(database: Database, home: Path = tmp_path, **overrides: Any) -> Door:
            listener = Listener(settings_for(home, database, **overrides))
            running.enter_context(listener)
            return Door(listener, database)

        yield opened


@pytest.fixture
def door(open_door: Opener, sqlite_database: Database) -> Door:
    return open_door(sqlite_database)


@pytest.fixture(autouse=True)
def _no_socket_stays_open() -> Iterator[None]:
    yield
    sending.close_sockets()


@pytest.fixture(autouse=True)
def _pynetdicom_logs_as_before() -> Iterator[None]:
    logger = logging.getLogger("pynetdicom")
    level = logger.level
    yield
    logger.setLevel(level)
