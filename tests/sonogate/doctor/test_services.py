"""Checks of Redis, the listener and the web interface."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.incoming import IncomingName, new_instance_id
from db.types import now_utc
from listener.index_service import lock_store
from sonogate.doctor import network
from sonogate.services.ports import LOOPBACK
from sonogate.settings import CliSettings
from tests.sonogate.conftest import Run
from tests.sonogate.doctor.conftest import run_single


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program accepts connections and says nothing DICOM, nothing HTTP."""
    with socket.create_server((LOOPBACK, 0), backlog=50) as server:
        yield server.getsockname()[1]


def test_a_configured_redis_that_is_down_fails(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("SONOGATE_REDIS_URL", f"redis://{LOOPBACK}:{free_port}/0")
    result = run_single(run, "redis")
    assert result["status"] == "fail"
    assert "SONOGATE_REDIS_URL" in result["remedy"]


def test_ports_that_other_programs_took_fail(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(network, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("SONOGATE_DICOM_PORT", str(taken))
    monkeypatch.setenv("SONOGATE_WEB_PORT", str(taken))
    for name in ("listener", "web"):
        result = run_single(run, name)
        assert result["status"] == "fail"
        assert f"port {taken} is used by" in result["message"]


def test_a_missing_indexer_is_a_warning_and_a_running_one_tells_what_waits(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_single(run, "indexer")
    assert result["status"] == "warn"
    assert result["message"] == "not running, no file waits"
    files = CliSettings.load().file_store()
    (files.incoming / str(IncomingName(new_instance_id(now_utc()), 0))).touch()
    with lock_store(files):
        result = run_single(run, "indexer")
        assert result["status"] == "ok"
        assert "running, 1 file waits" in result["message"]
        monkeypatch.setenv("SONOGATE_BACKLOG_WARNING_FILES", "1")
        assert run_single(run, "indexer")["status"] == "warn"
