"""The settings that limit decoding."""

import json
from pathlib import Path

import pytest

from tests.conftest import SetLimits
from tests.sonogate import pictures
from tests.sonogate.conftest import Run


def test_a_command_refuses_what_exceeds_the_limits_of_the_settings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoding_limits: SetLimits
) -> None:
    pictures.still(tmp_path / "a.dcm")
    assert json.loads(run("gate", tmp_path).stdout)["damaged_files"] == []
    monkeypatch.setenv("SONOGATE_MAX_FRAME_BYTES", "1000")
    (damaged,) = json.loads(run("gate", tmp_path).stdout)["damaged_files"]
    assert damaged["reason"] == "frame-too-large"
