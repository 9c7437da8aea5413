"""Which settings the checks use."""

import json
from pathlib import Path

import pytest

from sonogate.services import run_file
from sonogate.services.run_file import RunFile
from tests.sonogate.conftest import Run
from tests.sonogate.doctor.conftest import run_single


def test_a_wrong_setting_is_the_only_finding(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_DICOM_PORT", "many")
    done = run("doctor", "--json")
    (result,) = json.loads(done.stdout)
    assert done.exit_code == 1
    assert result["check"] == "settings"
    assert "SONOGATE_DICOM_PORT" in result["message"]


def test_the_redis_of_a_running_up_is_found(run: Run, installed: Path, redis_url: str) -> None:
    with run_file.lock_home(installed):
        run_file.write(installed, RunFile(1, {"redis_url": redis_url}))
        assert run_single(run, "redis")["message"] == "answers PING"
