"""`sonogate up`: real services as real processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sonogate.services import run_file
from sonogate.services.ports import LOOPBACK, is_listening
from sonogate.services.up import LaunchPlan
from tests import peers
from tests.sonogate.conftest import sonogate

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="these tests look for processes in /proc"
)


@pytest.fixture
def ports(environment: dict[str, str]) -> dict[str, int]:
    found = {name: peers.free_port() for name in ("SONOGATE_DICOM_PORT", "SONOGATE_WEB_PORT")}
    environment.update({name: str(port) for name, port in found.items()})
    return found


@pytest.fixture
def up(
    environment: dict[str, str], ports: dict[str, int], home: Path, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Everything of one installation, up and greeting in `up.log`."""
    log = tmp_path / "up.log"
    with peers.run_process(sonogate("up"), log=log, env=environment) as process:
        peers.wait_until(
            lambda: process.poll() is not None or "Ctrl-C" in log.read_text(),
            seconds=120,
            what="sonogate up",
        )
        assert process.poll() is None, log.read_text()
        yield process


def children(parent: int) -> dict[str, int]:
    """Process ids of the services, by their command."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                words = (stat.parent / "cmdline").read_bytes().decode().split("\0")
                found[words[-2] if "sonogate" in words else "redis"] = int(stat.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_it_starts_all_services_restarts_a_killed_one_and_stops_them_all(
    up: subprocess.Popen[bytes],
    ports: dict[str, int],
    environment: dict[str, str],
    home: Path,
    tmp_path: Path,
) -> None:
    log = tmp_path / "up.log"
    services = children(up.pid)
    assert set(services) == {"redis", "listener", "indexer", "worker", "web"}
    assert re.search(r"one-time password \S{20,}", log.read_text())
    assert f"http://{LOOPBACK}:{ports['SONOGATE_WEB_PORT']}/" in log.read_text()

    done = subprocess.run(
        sonogate("doctor", "--json"), env=environment, capture_output=True, timeout=60, check=True
    )
    results = {each["check"]: each for each in json.loads(done.stdout)}
    for name in ("redis", "listener", "indexer", "web"):
        assert results[name]["status"] == "ok", results[name]
    assert "answers C-ECHO" in results["listener"]["message"]

    again = subprocess.run(
        sonogate("up"), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 1
    assert f"is already running in {home} (process {up.pid})" in again.stderr

    os.kill(services["listener"], signal.SIGKILL)
    peers.wait_until(
        lambda: "listener restarted" in log.read_text(), seconds=30, what="the restart"
    )
    assert "listener was killed by SIGKILL" in log.read_text()
    peers.wait_until(
        lambda: is_listening(ports["SONOGATE_DICOM_PORT"]), seconds=60, what="the new listener"
    )
    last = children(up.pid)
    assert last["listener"] != services["listener"]
    assert last["web"] == services["web"]

    up.send_signal(signal.SIGTERM)
    assert up.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in last.values())
    assert "Stopped." in log.read_text()
    assert run_file.find_running(home) is None


def test_a_port_in_use_is_named_with_the_variable_to_set(
    environment: dict[str, str], ports: dict[str, int], home: Path
) -> None:
    with socket.create_server((LOOPBACK, ports["SONOGATE_WEB_PORT"])):
        done = subprocess.run(
            sonogate("up"), env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    port = ports["SONOGATE_WEB_PORT"]
    assert done.stderr == (
        f"sonogate: port {port} is already in use: stop the other program or set SONOGATE_WEB_PORT"
        " to a free port\n"
    )
    assert not (home / "sonogate.db").exists()


def test_all_programs_get_the_ports_and_the_home_directory_of_the_plan(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_WEB_PORT", "0")
    monkeypatch.setenv("SONOGATE_HOME", "var")
    plan = LaunchPlan.load()
    programs = {program.name: program for program in plan.programs(2)}
    assert list(programs) == ["redis", "listener", "indexer", "worker", "worker-2", "web"]
    web = programs["web"]
    assert web.port not in (None, 0)
    assert web.environment["SONOGATE_WEB_PORT"] == str(web.port)
    assert web.environment["SONOGATE_HOME"] == str(Path.cwd() / "var")
    broker = programs["redis"].port
    assert programs["worker"].environment["SONOGATE_REDIS_URL"] == f"redis://{LOOPBACK}:{broker}/0"
    assert programs["redis"].stop_last


def test_a_configured_redis_replaces_the_bundled_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_REDIS_URL", "redis://redis.example:6379/0")
    plan = LaunchPlan.load()
    assert [program.name for program in plan.programs(1)] == [
        "listener",
        "indexer",
        "worker",
        "web",
    ]
    assert "redis_url" not in plan.run_file().settings  # it may hold a password
