"""The listener as a process: killed and stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from pydicom.dataset import Dataset
from sqlalchemy import select

from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.schema import Instance
from dicom.images.header import read_header
from tests import peers
from tests.listener.conftest import RunningListener
from tests.listener.images import image, sibling
from tests.listener.indexing import index_everything
from tests.listener.sending import (
    association,
    is_rejected_temporarily,
    request,
    send,
    send_half,
)

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
    with peers.run_process(command, log=home / "listener.log", env=environment) as running:
        peers.wait_until(lambda: peers.is_listening(port), seconds=30, what="the listener")
        yield running


def send_until_cut(port: int, images: list[Dataset], acknowledged: set[str]) -> None:
    """Send images until the connection breaks and collect the acknowledged UIDs."""
    opened = request(port)
    opened.dimse_timeout = 5  # pynetdicom waits this long for a peer that is gone
    for dataset in images:
        if not opened.is_established:
            return
        answer = opened.send_c_store(dataset)
        if answer.get("Status") == 0x0000:
            acknowledged.add(dataset.SOPInstanceUID)


def load_stored_uids(database: Database, files: FileStore) -> set[str]:
    """Index, check the file of every instance and return the SOP Instance UIDs."""
    index_everything(database, files)
    with database.read() as session:
        rows = session.scalars(select(Instance)).all()
    for row in rows:
        assert flush_and_digest(files.path(row.file)) == (row.sha256, row.size_bytes)
    return {row.sop_instance_uid for row in rows}


def test_a_kill_during_a_transfer_loses_no_acknowledged_image(
    tmp_path: Path, sqlite_database: Database, free_port: int
) -> None:
    first = image()
    images = [first, *(sibling(first) for _ in range(24))]
    files = FileStore(tmp_path / "files")
    acknowledged: set[str] = set()
    with process(tmp_path, free_port, sqlite_database) as listener:
        send_half(request(free_port), image(size_bytes=64 * 20_000))
        peers.wait_until(lambda: any(files.spool.iterdir()), seconds=10, what="the incoming file")
        sender = Thread(target=send_until_cut, args=(free_port, images, acknowledged))
        sender.start()
        peers.wait_until(lambda: len(acknowledged) >= 5, seconds=30, what="the first five")
        listener.kill()
        sender.join(30)
    assert acknowledged <= load_stored_uids(sqlite_database, files)
    for path in (files.root / "instances").rglob("*.dcm"):
        assert read_header(path).rows == 64  # no partial file

    with process(tmp_path, free_port, sqlite_database):
        assert send(free_port, *images) == [0x0000] * len(images)
    assert load_stored_uids(sqlite_database, files) == {
        dataset.SOPInstanceUID for dataset in images
    }


def test_sigterm_lets_an_open_association_finish(
    tmp_path: Path, sqlite_database: Database, free_port: int
) -> None:
    with process(tmp_path, free_port, sqlite_database) as listener:
        with association(free_port) as opened:
            listener.send_signal(signal.SIGTERM)
            peers.wait_until(
                lambda: is_rejected_temporarily(free_port), seconds=10, what="the stop"
            )
            assert opened.send_c_store(image()).Status == 0x0000
        assert listener.wait(10) == 0
    assert len(load_stored_uids(sqlite_database, FileStore(tmp_path / "files"))) == 1


def test_it_starts_without_tensorflow() -> None:
    program = "import listener.main, sys; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_aborted_transfer_leaves_no_file(listener: RunningListener) -> None:
    opened = request(listener.port)
    send_half(opened, image(size_bytes=64 * 20_000))
    peers.wait_until(lambda: bool(listener.incoming_files()), seconds=5, what="the incoming file")
    opened.abort()
    peers.wait_until(lambda: not listener.incoming_files(), seconds=10, what="its end")
