"""One `up` for each home, found by the doctor."""

import subprocess
import sys
from pathlib import Path

import pytest

from sonogate.errors import AlreadyRunning
from sonogate.services import run_file
from sonogate.services.run_file import RunFile

RUNNING = RunFile(4711, {"redis_url": "redis://127.0.0.1:7000/0", "dicom_port": "11112"})


def test_it_is_found_while_it_is_held_and_gone_afterwards(tmp_path: Path) -> None:
    with run_file.lock_home(tmp_path):
        run_file.write(tmp_path, RUNNING)
        assert run_file.find_running(tmp_path) == RUNNING
    assert run_file.find_running(tmp_path) is None


def test_nothing_runs_over_a_home_that_was_never_used(tmp_path: Path) -> None:
    assert run_file.find_running(tmp_path / "var") is None


def test_a_second_one_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with run_file.lock_home(tmp_path):
        run_file.write(tmp_path, RUNNING)
        with pytest.raises(AlreadyRunning, match="4711"), run_file.lock_home(tmp_path):
            pass
        assert run_file.find_running(tmp_path) == RUNNING


def test_what_a_killed_one_left_behind_is_not_taken_for_running(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    code = f"""
from pathlib import Path
from sonogate.services import run_file
with run_file.lock_home(Path({str(tmp_path)!r})):
    run_file.write(Path({str(tmp_path)!r}), run_file.RunFile(1, {{}}))
    print("held", flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert run_file.find_running(tmp_path) is not None
        process.kill()
    assert (tmp_path / run_file.NAME).exists()
    assert run_file.find_running(tmp_path) is None
    with run_file.lock_home(tmp_path):
        pass
