"""Database engine and transactions.

A service opens one `Database` per process and starts the transactions. All other functions take a
session and never commit.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

_READ_ONLY = "sonogate_read_only"


class Database:
    """An engine for a URL, with transactions for reading and for writing."""

    def __init__(self, url: str) -> None:
        self.url = url
        if is_sqlite(url):
            self.engine = create_engine(
                url,
                connect_args={"timeout": 30, "check_same_thread": False},
                hide_parameters=True,  # error texts would contain patient data
            )
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # pre-ping: a restart of PostgreSQL leaves dead connections in the pool
            self.engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction and commit it at the end of the block.

        On SQLite it holds the write lock from its first statement.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that waits for no writer and rolls back all changes."""
        reader = self.engine.execution_options(**{_READ_ONLY: True})
        with Session(reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver would send BEGIN too late: see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "PRAGMA synchronous=FULL"
    )  # a row must survive a crash once C-STORE is answered
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA busy_timeout=30000")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once if another one wrote in
    # between (SQLITE_BUSY_SNAPSHOT), regardless of the timeout. Writers therefore lock first.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
