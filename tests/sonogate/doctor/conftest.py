"""`sonogate doctor --json`, check by check, on ports that no other program uses."""

import json

import pytest

from tests import peers
from tests.sonogate.conftest import Run


@pytest.fixture(autouse=True)
def _free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_DICOM_PORT", str(peers.free_port()))
    monkeypatch.setenv("SONOGATE_WEB_PORT", str(peers.free_port()))


def run_check(run: Run, name: str, *more: str) -> list[dict[str, str]]:
    results: list[dict[str, str]] = json.loads(run("doctor", "--json", *more).stdout)
    return [result for result in results if result["check"] == name]


def run_single(run: Run, name: str) -> dict[str, str]:
    (result,) = run_check(run, name)
    return result
