"""ChildProcess processes: kept running, stopped, never orphaned."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sonogate.errors import ServiceStartError
from sonogate.services.supervisor import (
    FIRST_BACKOFF_SECONDS,
    LARGEST_LOG_BYTES,
    STABLE_AFTER_SECONDS,
    ChildProcess,
    Program,
    Supervisor,
)
from tests import peers
from tests.sonogate.conftest import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); {SLEEP}"


def program(code: str, name: str = "child", *, stop_last: bool = False) -> Program:
    command = (sys.executable, "-u", "-c", code)
    return Program(name, command, ENVIRONMENT, stop_last=stop_last)


def kill(child: ChildProcess) -> None:
    assert child.process is not None
    child.process.kill()
    child.process.wait()


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_dies_is_restarted_after_the_backoff(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor((program(SLEEP),), tmp_path, said.append) as supervisor:
        (child,) = supervisor.children
        assert child.process is not None
        first, now = child.process.pid, time.monotonic()
        kill(child)
        supervisor.restart_exited(now)
        assert not child.running
        supervisor.restart_exited(now + FIRST_BACKOFF_SECONDS)
        assert child.running
        assert child.process.pid != first
    assert "child was killed by SIGKILL; restarting in 1 s" in said[0]
    assert said[1] == "child restarted"


def test_the_backoff_doubles_with_each_exit_and_is_reset_by_a_stable_run(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    with Supervisor((program(SLEEP),), tmp_path, said.append) as supervisor:
        (child,) = supervisor.children
        now = time.monotonic()
        for lived_s in (0.0, 0.0, STABLE_AFTER_SECONDS):
            kill(child)
            now += lived_s
            supervisor.restart_exited(now)
            now += 10
            supervisor.restart_exited(now)
    deaths = [line for line in said if "restarting" in line]
    assert [line.partition(" in ")[2].split()[0] for line in deaths] == ["1", "2", "1"]


def test_a_child_that_exits_at_startup_shows_its_last_log_lines(
    tmp_path: Path, free_port: int
) -> None:
    code = "print('the disk is full'); raise SystemExit(3)"
    broken = Program("web", (sys.executable, "-c", code), ENVIRONMENT, free_port)
    with (
        Supervisor((broken,), tmp_path, print) as supervisor,
        pytest.raises(ServiceStartError, match="web exited with code 3: the disk is full"),
    ):
        supervisor.wait_ready(20)


def test_log_lines_of_an_earlier_process_are_not_shown(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "web.log").write_text("an older process said this\n")
    silent = Program("web", (sys.executable, "-c", "raise SystemExit(3)"), ENVIRONMENT, free_port)
    with (
        Supervisor((silent,), tmp_path, print) as supervisor,
        pytest.raises(ServiceStartError, match="web exited with code 3: no output"),
    ):
        supervisor.wait_ready(20)


def test_a_child_that_never_listens_is_named(tmp_path: Path, free_port: int) -> None:
    deaf = Program("web", (sys.executable, "-c", SLEEP), ENVIRONMENT, free_port)
    with (
        Supervisor((deaf,), tmp_path, print) as supervisor,
        pytest.raises(ServiceStartError, match="web: not ready within 0 s"),
    ):
        supervisor.wait_ready(0.2)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Supervisor((program(STUBBORN),), tmp_path, print, stop_timeout_seconds=0.5) as supervisor:
        log = tmp_path / "child.log"
        peers.wait_until(lambda: "deaf" in log.read_text(), seconds=20, what="the stubborn child")
    process = supervisor.children[0].process
    assert process is not None
    assert process.returncode == -signal.SIGKILL


def test_a_program_that_others_depend_on_is_stopped_last(tmp_path: Path) -> None:
    tell = """
import pathlib, signal, sys, time
def end(*_):
    with open({order!r}, "a") as file: file.write({name!r} + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path({order!r} + {name!r}).touch()
time.sleep(600)
"""
    order = str(tmp_path / "order")
    programs = tuple(
        program(tell.format(order=order, name=name), name, stop_last=name == "redis")
        for name in ("redis", "worker")
    )
    with Supervisor(programs, tmp_path, print):
        for name in ("redis", "worker"):
            ready = Path(f"{order}{name}")
            peers.wait_until(ready.exists, seconds=20, what=name)
    assert Path(order).read_text().split() == ["worker", "redis"]


@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_no_child_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from sonogate.services.supervisor import Program, Supervisor
program = Program("child", (sys.executable, "-c", {SLEEP!r}), dict(os.environ))
with Supervisor((program,), Path({str(tmp_path)!r}), print) as supervisor:
    print(supervisor.children[0].process.pid, flush=True)
    supervisor.run_forever()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    command = Path(f"/proc/{child}/cmdline")
    peers.wait_until(  # the wrapper has replaced itself by the program
        lambda: b"die_with_parent" not in command.read_bytes(), seconds=20, what="the child"
    )
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    peers.wait_until(lambda: not alive(child), seconds=10, what="the end of the orphan")


def test_a_large_log_is_rotated_before_its_program_starts(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    with log.open("wb") as file:
        file.truncate(LARGEST_LOG_BYTES + 1)
    with Supervisor((program("print('fresh')"),), tmp_path, print):
        peers.wait_until(lambda: log.read_text() == "fresh\n", seconds=20, what="the new log")
    assert (tmp_path / "child.log.1").stat().st_size == LARGEST_LOG_BYTES + 1
