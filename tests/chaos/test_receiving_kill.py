"""SIGKILL of listener and indexer while DCMTK sends: no acknowledged object is lost or altered."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

from db import audit
from db.engine import Database
from db.files import FileStore, flush_and_digest
from db.incoming import measure_backlog
from db.schema import AuditEvent, Instance
from tests import peers
from tests.listener.images import image, save

pytestmark = [pytest.mark.peer, pytest.mark.timeout(3000)]

BATCH = 8
SENDERS = 3
PROGRAMS = {
    "listener": "from listener.main import run; from listener.settings import ListenerSettings as S",
    "indexer": "from listener.index_service import run; from db.settings import StoreSettings as S",
}


@dataclass
class KilledServices:
    """Listener and indexer, each killed and started again."""

    home: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        program = (
            f"import logging; logging.basicConfig(level='INFO'); {PROGRAMS[name]}; run(S.load())"
        )
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-c", program], env=self.environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()


@dataclass
class ModalityThread:
    """Sends objects by storescu, and those without Success again, until it is told to stop."""

    folder: Path
    port: int
    stop: threading.Event
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    """Pixel data by SOP Instance UID."""

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            waiting = {}
            for _ in range(BATCH):
                number += 1
                made = image(size_bytes=64 * 1000, content=number % 251)
                path = save(made, self.folder / f"{number}.dcm")
                waiting[path.name] = (made.SOPInstanceUID, made.PixelData)
            while waiting:
                for name in self.send(list(waiting)):
                    uid, pixels = waiting.pop(name)
                    self.acknowledged[uid] = pixels
                    (self.folder / name).unlink()

    def send(self, names: list[str]) -> Iterator[str]:
        """Yield the files that were answered with Success."""
        command = ["storescu", "-v", "-aet", "MODALITY", "127.0.0.1", str(self.port), *names]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        name = ""
        for line in (done.stdout + done.stderr).splitlines():
            if line.startswith("I: Sending file: "):
                name = line.removeprefix("I: Sending file: ")
            elif line == "I: Received Store Response (Success)":
                yield name
        if done.returncode:
            time.sleep(0.1)  # the listener starts again


@contextmanager
def run_modalities(folder: Path, port: int) -> Iterator[list[ModalityThread]]:
    stop = threading.Event()
    modalities = []
    for number in range(SENDERS):
        (folder / str(number)).mkdir(parents=True)
        modalities.append(ModalityThread(folder / str(number), port, stop))
    threads = [threading.Thread(target=modality.run) for modality in modalities]
    for thread in threads:
        thread.start()
    try:
        yield modalities
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)


def start_services(home: Path, database: Database, port: int) -> KilledServices:
    environment = {
        **os.environ,
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": database.url,
        "SONOGATE_DICOM_PORT": str(port),
        "SONOGATE_MIN_FREE_BYTES": "0",
    }
    services = KilledServices(home, environment)
    for name in PROGRAMS:
        services.start(name)
    peers.wait_until(lambda: peers.is_listening(port), seconds=60, what="the listener")
    return services


def run_rounds(home: Path, database: Database, port: int, rounds: int) -> int:
    """Kill one of the services in each round, and check every object at the end.

    Returns how many objects were acknowledged.
    """
    peers.find_program("storescu")
    chance = random.Random(rounds)
    services = start_services(home, database, port)
    try:
        with run_modalities(home / "sent", port) as modalities:
            for number in range(rounds):
                name = chance.choice(sorted(PROGRAMS)) if number > 1 else sorted(PROGRAMS)[number]
                time.sleep(chance.uniform(0, 1.5))
                services.kill(name)
                time.sleep(chance.uniform(0, 0.5))
                services.start(name)
                if name == "listener":
                    peers.wait_until(
                        lambda: peers.is_listening(port), seconds=60, what="the listener"
                    )
        files = FileStore(home / "files")
        peers.wait_until(
            lambda: not measure_backlog(files).files, seconds=120, what="an empty backlog"
        )
    finally:
        for name in PROGRAMS:
            services.kill(name)
    acknowledged = {uid: pixels for one in modalities for uid, pixels in one.acknowledged.items()}
    check_store(files, database, acknowledged)
    return len(acknowledged)


def check_store(files: FileStore, database: Database, acknowledged: dict[str, bytes]) -> None:
    with database.read() as session:
        rows = session.scalars(select(Instance)).all()
        tags = Counter(session.scalars(select(AuditEvent.tag)))
        assert audit.verify(session).intact
    assert set(acknowledged) - {row.sop_instance_uid for row in rows} == set()
    for row in rows:
        path = files.path(row.file)
        assert flush_and_digest(path) == (row.sha256, row.size_bytes)
        if row.sop_instance_uid in acknowledged:
            assert dcmread(path).PixelData == acknowledged[row.sop_instance_uid]
    on_disk = {
        path.relative_to(files.root).as_posix()
        for path in (files.root / "instances").rglob("*.dcm")
    }
    assert on_disk == {row.file for row in rows}
    assert tags["listener:instance:stored"] == len(rows)
    assert tags["listener:instance:conflict"] == 0
    assert tags["listener:orphan:set-aside"] == 0


def test_no_acknowledged_object_is_lost_when_the_services_are_killed(
    tmp_path: Path, sqlite_database: Database, free_port: int
) -> None:
    assert run_rounds(tmp_path, sqlite_database, free_port, 20) > 20


@contextmanager
def database_away(database: Database) -> Iterator[None]:
    """End every connection to a PostgreSQL database and refuse new ones during the block."""
    url = make_url(database.url)
    server = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    allow = text("UPDATE pg_database SET datallowconn = :allowed WHERE datname = :name")
    end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    database.close()
    with server.connect() as connection:
        connection.execute(allow, {"allowed": False, "name": url.database})
        connection.execute(end, {"name": url.database})
        try:
            yield
        finally:
            connection.execute(allow, {"allowed": True, "name": url.database})
    server.dispose()


def test_objects_are_received_while_the_database_is_away_and_services_are_killed(
    tmp_path: Path, postgresql_database: Database, free_port: int
) -> None:
    peers.find_program("storescu")
    services = start_services(tmp_path, postgresql_database, free_port)
    files = FileStore(tmp_path / "files")
    try:
        with run_modalities(tmp_path / "sent", free_port) as modalities:

            def wait_for_more(number: int) -> None:
                goal = number + sum(len(one.acknowledged) for one in modalities)
                peers.wait_until(
                    lambda: sum(len(one.acknowledged) for one in modalities) >= goal,
                    seconds=120,
                    what=f"{number} answered objects",
                )

            wait_for_more(30)
            with database_away(postgresql_database):
                wait_for_more(30)
                for name in PROGRAMS:
                    services.kill(name)
                    services.start(name)
                wait_for_more(30)
                assert measure_backlog(files).files >= 30
            wait_for_more(30)
        peers.wait_until(
            lambda: not measure_backlog(files).files, seconds=120, what="an empty backlog"
        )
    finally:
        for name in PROGRAMS:
            services.kill(name)
    acknowledged = {uid: pixels for one in modalities for uid, pixels in one.acknowledged.items()}
    check_store(files, postgresql_database, acknowledged)


@pytest.mark.long
def test_no_acknowledged_object_is_lost_in_500_kills(
    tmp_path: Path, postgresql_database: Database, free_port: int
) -> None:
    assert run_rounds(tmp_path, postgresql_database, free_port, 500) > 500
