"""Starts child processes, restarts them with backoff when they exit, and stops them."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sonogate.errors import ServiceStartError
from sonogate.services.die_with_parent import wrap_command
from sonogate.services.ports import LOOPBACK, is_listening

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
STABLE_AFTER_SECONDS = 60.0
"""A process that ran this long resets the backoff."""
POLL_SECONDS = 0.1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # SIGINT raises KeyboardInterrupt by default
LARGEST_LOG_BYTES = 20_000_000
"""A larger log is renamed to ``.log.1``, replacing the previous one, when its program starts."""
LOG_TAIL_CHARACTERS = 600

Notify = Callable[[str], None]
"""Receives one line of progress for the user."""


@dataclass(frozen=True)
class Program:
    """A program to run. It is ready once `port` on `host` is open; None: once it runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None = None
    host: str = LOOPBACK
    stop_last: bool = False
    """Stop it after the other programs, which depend on it."""


@dataclass
class ChildProcess:
    """A program and the process that currently runs it."""

    program: Program
    log: Path
    log_start: int = 0
    """Size of the log in bytes when the current process started."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    backoff_seconds: float = FIRST_BACKOFF_SECONDS

    def start(self, now: float) -> None:
        """Start the process; rotate a large log first."""
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603  our own programs, no shell
                wrap_command(self.program.command),
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C in the terminal reaches the supervisor only
            )
        self.started_at, self.restart_at = now, None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        port, host = self.program.port, self.program.host
        return self.running and (port is None or is_listening(port, host))

    @property
    def exit_text(self) -> str:
        """How the last process ended, for messages."""
        code = self.process.returncode if self.process else 0
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    @property
    def log_tail(self) -> str:
        """The last lines that the current process logged."""
        output = self.log.read_bytes()[self.log_start :].decode(errors="replace").strip()
        return output[-LOG_TAIL_CHARACTERS:] or f"no output in {self.log}"


@dataclass
class Supervisor:
    """Keeps programs running until its ``with`` block ends.

    Use it from the main thread: children die with the thread that starts them.
    """

    programs: tuple[Program, ...]
    log_folder: Path
    notify: Notify
    stop_timeout_seconds: float = 30.0
    """Time for transfers and analyses to finish before their process is killed."""
    children: list[ChildProcess] = field(default_factory=list)
    former_handlers: dict[signal.Signals, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                self.former_handlers[number] = signal.signal(number, signal.default_int_handler)
        self.log_folder.mkdir(parents=True, exist_ok=True)
        try:
            for program in self.programs:
                child = ChildProcess(program, self.log_folder / f"{program.name}.log")
                self.children.append(child)
                child.start(time.monotonic())
        except BaseException:  # Ctrl-C, too, must not leave children behind
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def wait_ready(self, seconds: float) -> None:
        """Return once every program is ready.

        Raises:
            ServiceStartError: A program exited or is not ready in time. The text holds its last
                log lines.
        """
        deadline = time.monotonic() + seconds
        while waiting := [child for child in self.children if not child.ready]:
            for child in waiting:
                if not child.running:
                    raise ServiceStartError(
                        f"{child.program.name} {child.exit_text}: {child.log_tail}"
                    )
            if time.monotonic() > deadline:
                names = ", ".join(child.program.name for child in waiting)
                raise ServiceStartError(
                    f"{names}: not ready within {seconds:.0f} s; see the logs in {self.log_folder}"
                )
            time.sleep(POLL_SECONDS)

    def run_until(
        self, condition: Callable[[], bool], *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Restart programs that exit until `condition` returns True.

        Raises:
            KeyboardInterrupt: The process received SIGINT, SIGTERM or SIGHUP.
        """
        while not condition():
            self.restart_exited(time.monotonic())
            time.sleep(poll_seconds)

    def run_forever(self) -> None:
        """Restart programs that exit until a signal raises KeyboardInterrupt."""
        self.run_until(lambda: False)

    def restart_exited(self, now: float) -> None:
        """Schedule the restart of programs that exited, and restart those that are due."""
        for child in self.children:
            if child.running:
                continue
            if child.restart_at is None:
                self._schedule_restart(child, now)
            elif now >= child.restart_at:
                child.start(now)
                self.notify(f"{child.program.name} restarted")

    def _schedule_restart(self, child: ChildProcess, now: float) -> None:
        if now - child.started_at >= STABLE_AFTER_SECONDS:
            child.backoff_seconds = FIRST_BACKOFF_SECONDS
        child.restart_at = now + child.backoff_seconds
        self.notify(
            f"{child.program.name} {child.exit_text}; restarting in {child.backoff_seconds:.0f} s"
            f" (log: {child.log})"
        )
        child.backoff_seconds = min(2 * child.backoff_seconds, LONGEST_BACKOFF_SECONDS)

    def _stop(self) -> None:
        """Stop every child, those with `stop_last` after the others."""
        for last in (False, True):
            children = [child for child in self.children if child.program.stop_last is last]
            processes = [child.process for child in children if child.process]
            _stop_processes(processes, self.stop_timeout_seconds)
        for number, handler in self.former_handlers.items():
            signal.signal(number, handler)


def _stop_processes(processes: list[subprocess.Popen[bytes]], timeout_seconds: float) -> None:
    """Terminate processes; kill those that are still running after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.kill()
    for process in processes:
        process.wait()
