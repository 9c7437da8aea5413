"""The indexer as a process, its lock, and its log."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import select

from db.engine import Database
from db.files import FileStore
from db.incoming import Backlog, list_incoming
from db.schema import Instance
from db.types import now_utc
from listener.errors import IndexerRunning
from listener.index_service import BacklogLog, IndexLoop, is_running, lock_store
from listener.indexer import Indexer
from tests import peers
from tests.listener.images import image
from tests.listener.test_indexer import IndexerSetup

PROGRAM = """
import logging
from db.settings import StoreSettings
from listener.index_service import run
logging.basicConfig(level=logging.INFO)
run(StoreSettings.load())
"""


@pytest.fixture
def setup(sqlite_database: Database, tmp_path: Path) -> IndexerSetup:
    files = FileStore(tmp_path / "files")
    files.prepare()
    return IndexerSetup(sqlite_database, files, now_utc())


@contextmanager
def process(
    setup: IndexerSetup, name: str = "indexer", **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    home = setup.files.root.parent
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": setup.database.url,
        **settings,
    }
    command = [sys.executable, "-c", PROGRAM]
    with peers.run_process(command, log=home / f"{name}.log", env=environment) as running:
        yield running


def read_log(setup: IndexerSetup, name: str = "indexer") -> str:
    return (setup.files.root.parent / f"{name}.log").read_text()


def count_rows(setup: IndexerSetup) -> int:
    with setup.database.read() as session:
        return len(session.scalars(select(Instance.id)).all())


def wait_for_rows(setup: IndexerSetup, number: int) -> None:
    peers.wait_until(lambda: count_rows(setup) == number, seconds=30, what=f"{number} rows")
    peers.wait_until(
        lambda: not list_incoming(setup.files.incoming), seconds=10, what="no file to wait"
    )


def test_files_get_rows_while_it_runs_and_it_stops_at_sigterm(setup: IndexerSetup) -> None:
    first, second = image(), image()
    setup.receive(first)
    with process(setup) as indexer:
        wait_for_rows(setup, 1)
        setup.receive(second)
        wait_for_rows(setup, 2)
        assert is_running(setup.files)
        indexer.send_signal(signal.SIGTERM)
        assert indexer.wait(10) == 0
    setup.check(first, second)
    assert not is_running(setup.files)
    assert "indexed 1 files: 1 stored" in read_log(setup)


def test_a_second_one_waits_and_takes_over_from_a_killed_one(setup: IndexerSetup) -> None:
    with process(setup) as first:
        peers.wait_until(lambda: is_running(setup.files), seconds=20, what="the first")
        with process(setup, "standby"):
            peers.wait_until(
                lambda: "standby" in read_log(setup, "standby"), seconds=20, what="the second"
            )
            first.kill()
            setup.receive(image())
            wait_for_rows(setup, 1)


def test_files_wait_while_the_database_is_away(setup: IndexerSetup) -> None:
    path = Path(setup.database.url.removeprefix("sqlite:///"))
    setup.database.close()
    away = path.rename(path.with_suffix(".away"))
    path.mkdir()  # nothing can be opened or created there
    setup.receive(image(), image())
    with process(setup):
        peers.wait_until(
            lambda: "the indexer is behind: 2 files wait" in read_log(setup),
            seconds=30,
            what="the backlog in the log",
        )
        path.rmdir()
        away.rename(path)
        wait_for_rows(setup, 2)
        peers.wait_until(
            lambda: "indexing continues" in read_log(setup), seconds=10, what="the recovery"
        )
    assert "the database is not available" in read_log(setup)
    assert "Doe" not in read_log(setup)


def test_one_at_a_time_holds_the_lock(setup: IndexerSetup) -> None:
    assert not is_running(setup.files)
    with lock_store(setup.files):
        assert is_running(setup.files)
        with pytest.raises(IndexerRunning), lock_store(setup.files):
            pass
    assert not is_running(setup.files)


def test_upkeep_publishes_what_a_killed_listener_left_and_removes_aborted_transfers(
    setup: IndexerSetup,
) -> None:
    dataset = image()
    setup.receive(dataset)
    (name,) = list_incoming(setup.files.incoming)
    (setup.files.incoming / name).rename(setup.files.spool / name)
    aborted, young = setup.files.spool / "aborted", setup.files.spool / "young"
    for path, age_seconds in ((setup.files.spool / name, 60), (aborted, 4000), (young, 60)):
        path.touch()
        os.utime(path, (time.time() - age_seconds,) * 2)
    stop = Event()
    with Indexer(setup.database, setup.files) as indexer:
        loop = IndexLoop(indexer, setup.files, 1000)
        thread = Thread(target=loop.run, args=(stop,))
        thread.start()
        wait_for_rows(setup, 1)
        stop.set()
        thread.join(10)
    assert young.exists()
    assert not aborted.exists()


def test_a_long_backlog_is_logged_until_it_is_worked_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    log = BacklogLog(10)
    assert log.is_due()
    log.report(Backlog(9, now_utc()))
    assert not caplog.messages
    log.report(Backlog(10, now_utc()))
    assert not log.is_due()
    log.report(Backlog(0, None))
    assert caplog.messages == [
        "the indexer is behind: 10 files wait, the oldest for 0 s",
        "the indexer has caught up: no file waits",
    ]
