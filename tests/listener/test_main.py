"""The listener as a process: killed, stopped, and tidying up after itself."""

import gc
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
from pydicom.dataset import Dataset
from sqlalchemy import select

from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.schema import Instance
from listener.main import keep_house
from listener.part10 import read_whole
from tests import peers
from tests.listener.conftest import Door
from tests.listener.making import image, save, sibling
from tests.listener.sending import association, request, send, send_half

PROGRAM = """
from listener.main import run
from listener.settings import ListenerSettings
run(ListenerSettings.load())
"""


@contextmanager
def process(home: Path, port: int, database: Database) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": database.url,
        "SONOGATE_DICOM_PORT": str(port),
        "SONOGATE_MIN_FREE_BYTES": "0",
    }
    command = [sys.executable, "-c", PROGRAM]
    with peers.running(command, log=home / "listener.log", env=environment) as running:
        peers.wait_until(lambda: peers.listens(port), seconds=30, what="the listener")
        yield running


def send_until_cut(port: int, images: list[Dataset], acknowledged: set[str]) -> None:
    """Send one after the other; what was answered Success goes on the list."""
    opened = request(port)
    opened.dimse_timeout = 5  # pynetdicom waits as long for the answer of a peer that is gone
    for dataset in images:
        if not opened.is_established:
            return
        answer = opened.send_c_store(dataset)
        if answer.get("Status") == 0x0000:
            acknowledged.add(dataset.SOPInstanceUID)


def held(database: Database, files: FileStore) -> set[str]:
    """UIDs of the instances whose file is there as its row says."""
    with database.read() as session:
        rows = session.scalars(select(Instance)).all()
    for row in rows:
        assert flush_and_digest(files.path(row.file)) == (row.sha256, row.size_bytes)
    return {row.sop_instance_uid for row in rows}


def test_a_kill_in_the_middle_of_a_transfer_loses_nothing_acknowledged(
    tmp_path: Path, sqlite_database: Database, free_port: int
) -> None:
    first = image()
    images = [first, *(sibling(first) for _ in range(24))]
    files = FileStore(tmp_path / "files")
    acknowledged: set[str] = set()
    with process(tmp_path, free_port, sqlite_database) as listener:
        send_half(request(free_port), image(size_bytes=64 * 20_000))
        peers.wait_until(lambda: any(files.spool.iterdir()), seconds=10, what="the part")
        sender = Thread(target=send_until_cut, args=(free_port, images, acknowledged))
        sender.start()
        peers.wait_until(lambda: len(acknowledged) >= 5, seconds=30, what="the first five")
        listener.kill()
        sender.join(30)
    assert acknowledged <= held(sqlite_database, files)
    for path in (files.root / "instances").rglob("*.dcm"):
        assert read_whole(path).rows == 64  # never half a file among the instances

    with process(tmp_path, free_port, sqlite_database):
        assert send(free_port, *images) == [0x0000] * len(images)
    assert held(sqlite_database, files) == {dataset.SOPInstanceUID for dataset in images}


def test_a_term_signal_lets_the_running_association_finish(
    tmp_path: Path, sqlite_database: Database, free_port: int
) -> None:
    with process(tmp_path, free_port, sqlite_database) as listener:
        with association(free_port) as opened:
            listener.send_signal(signal.SIGTERM)
            peers.wait_until(lambda: not peers.listens(free_port), seconds=10, what="the stop")
            assert opened.send_c_store(image()).Status == 0x0000
        assert listener.wait(10) == 0
    assert len(held(sqlite_database, FileStore(tmp_path / "files"))) == 1


def test_it_starts_without_tensorflow() -> None:
    program = "import listener.main, sys; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_part_of_a_broken_transfer_goes_with_its_association(door: Door) -> None:
    opened = request(door.port)
    send_half(opened, image(size_bytes=64 * 20_000))
    peers.wait_until(lambda: bool(door.spooled()), seconds=5, what="the part")
    opened.abort()
    peers.wait_until(lambda: gc.collect() >= 0 and not door.spooled(), seconds=10, what="its end")


def test_a_part_that_a_killed_listener_left_goes_after_an_hour(door: Door) -> None:
    part = door.files / "spool" / "left.part"
    part.touch()
    keep_house_once(door)
    assert part.exists()
    os.utime(part, (time.time() - 4000,) * 2)
    keep_house_once(door)
    assert not part.exists()


def test_housekeeping_is_put_off_while_the_database_is_down(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    orphan = door.files / "instances" / "aa" / "x.dcm"
    orphan.parent.mkdir()
    save(image(), orphan)
    os.utime(orphan, (time.time() - 4000,) * 2)
    with door.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE instance RENAME TO elsewhere")
    keep_house_once(door)
    assert "housekeeping put off: OperationalError" in caplog.text
    assert orphan.exists()
    with door.database.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE elsewhere RENAME TO instance")
    keep_house_once(door)
    assert len(door.instances()) == 1


def keep_house_once(door: Door) -> None:
    """One round: it is told to stop as soon as it begins to wait."""

    class Once(Event):
        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return super().wait(timeout)

    keep_house(door.listener, Once())
