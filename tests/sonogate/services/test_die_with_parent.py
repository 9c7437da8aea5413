"""The wrapper of a child process. `test_supervisor` kills the parent."""

import subprocess
import sys

import pytest

from sonogate.services.die_with_parent import wrap_command


def test_the_wrapper_becomes_the_program() -> None:
    command = wrap_command((sys.executable, "-c", "print('runs')"))
    assert subprocess.check_output(command, text=True) == "runs\n"


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_it_exits_if_the_parent_is_another_process() -> None:
    command = list(wrap_command((sys.executable, "-c", "print('runs')")))
    command[3] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the supervisor has exited" in done.stderr
