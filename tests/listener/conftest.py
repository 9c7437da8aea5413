"""A listener on a free port with its database and files."""

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
from db.incoming import list_incoming
from db.schema import AuditEvent, Instance, SenderCount
from listener.server import Listener
from listener.settings import ListenerSettings
from tests import peers
from tests.listener import sending
from tests.listener.indexing import index_incoming


@dataclass(frozen=True)
class RunningListener:
    """A started listener, with queries for what it stored and recorded.

    The queries make the rows of the received files first.
    """

    server: Listener
    database: Database

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def files(self) -> Path:
        return self.server.files.root

    def index(self) -> None:
        """Make the rows of the files that were received up to now."""
        published = self.files / "spool"
        peers.wait_until(
            lambda: not list_incoming(published), seconds=5, what="files to be published"
        )
        index_incoming(self.database, self.server.files)

    def instances(self) -> list[Instance]:
        self.index()
        with self.database.read() as session:
            return list(session.scalars(select(Instance).order_by(Instance.received_at)))

    def stored_files(self) -> list[Path]:
        self.index()
        return sorted((self.files / "instances").rglob("*.dcm"))

    def incoming_files(self) -> list[Path]:
        return list((self.files / "spool").iterdir())

    def counts(self) -> dict[str, int]:
        self.index()
        self.server.events.flush()
        with self.database.read() as session:
            return {row.event: row.count for row in session.scalars(select(SenderCount))}

    def wait_for_counts(self, counts: dict[str, int]) -> None:
        """Wait, since events after the response are counted a moment later."""
        peers.wait_until(lambda: self.counts() == counts, seconds=5, what=f"{counts}")

    def events(self, tag: str) -> list[dict[str, Any]]:
        self.index()
        self.server.events.flush()
        with self.database.read() as session:
            query = select(AuditEvent).where(AuditEvent.tag == tag).order_by(AuditEvent.seq)
            return [json.loads(event.details) for event in session.scalars(query)]


StartListener = Callable[..., RunningListener]


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
def start_listener(tmp_path: Path) -> Iterator[StartListener]:
    """Start listeners that stop at the end of the test."""
    with ExitStack() as running:

        def start(database: Database, home: Path = tmp_path, **overrides: Any) -> RunningListener:
            server = Listener(settings_for(home, database, **overrides))
            running.enter_context(server)
            return RunningListener(server, database)

        yield start


@pytest.fixture
def listener(start_listener: StartListener, sqlite_database: Database) -> RunningListener:
    return start_listener(sqlite_database)


@pytest.fixture(autouse=True)
def _close_sockets() -> Iterator[None]:
    yield
    sending.close_sockets()


@pytest.fixture(autouse=True)
def _restore_log_levels() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("pynetdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
