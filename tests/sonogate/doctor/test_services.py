"""Checks of Redis, the listener and the web interface."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sonogate.doctor import network
from sonogate.services.ports import LOOPBACK
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
