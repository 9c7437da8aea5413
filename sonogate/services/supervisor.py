"""Child processes that are kept running: started, watched, restarted with backoff, stopped."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from sonogate.errors import DidNotStart
from sonogate.services.die_with_parent import tethered
from sonogate.services.ports import LOOPBACK, listens

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
HEALTHY_AFTER_S = 60.0
"""A child that lived so long begins again with the shortest backoff."""
POLL_S = 0.1
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # SIGINT interrupts by itself
LARGEST_LOG_BYTES = 20_000_000
"""A log beyond this is set aside as ``.1``, over the one before it, when its program starts."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """What to run. ``port`` on ``host`` is open once it is ready; None: it has none."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None = None
    host: str = LOOPBACK
    foundation: bool = False
    """The others need it until they have ended: it is stopped after them."""


@dataclass
class Child:
    """One program and the process that runs it now."""

    program: Program
    log: Path
    log_start: int = 0
    """Where in the log the present process began to write."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    backoff_s: float = FIRST_BACKOFF_S

    def start(self, now: float) -> None:
        _rotate(self.log)
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603  our own programs, no shell
                tethered(self.program.command),
                env=dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # a Ctrl-C in the terminal is the supervisor's to hear
            )
        self.started_at, self.restart_at = now, None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        port, host = self.program.port, self.program.host
        return self.running and (port is None or listens(port, host))

    @property
    def ending(self) -> str:
        """How the last process ended."""
        code = self.process.returncode if self.process else 0
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


@dataclass
class Supervisor:
    """Keeps programs running while its ``with`` block lasts.

    Use it from the main thread: children are bound to the life of the thread that starts them.
    `say` gets one line for whatever a person should know.
    """

    programs: tuple[Program, ...]
    logs: Path
    say: Say
    stop_within_s: float = 30.0
    """Transfers and analyses in progress get so long to end; then their process is killed."""
    children: list[Child] = field(default_factory=list)
    former_handlers: dict[signal.Signals, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                self.former_handlers[number] = signal.signal(number, _interrupt)
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            for program in self.programs:
                child = Child(program, self.logs / f"{program.name}.log")
                self.children.append(child)
                child.start(time.monotonic())
        except BaseException:  # a Ctrl-C too must not leave children behind
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def wait_ready(self, seconds: float) -> None:
        """Return once every program listens.

        Raises:
            DidNotStart: one ended, or was not ready in time; the text shows its last log lines.
        """
        deadline = time.monotonic() + seconds
        while waiting := [child for child in self.children if not child.ready]:
            ended = next((child for child in waiting if not child.running), None)
            if ended is not None:
                raise DidNotStart(f"{ended.program.name} {ended.ending}: {_last_words(ended)}")
            if time.monotonic() > deadline:
                late = ", ".join(child.program.name for child in waiting)
                raise DidNotStart(f"{late}: not ready within {seconds:.0f} s, see {self.logs}")
            time.sleep(POLL_S)

    def watch(self, until: Callable[[], bool] = lambda: False, poll_s: float = POLL_S) -> None:
        """Restart whatever dies, until `until()` holds; a signal ends it by KeyboardInterrupt."""
        while not until():
            self.tend(time.monotonic())
            time.sleep(poll_s)

    def tend(self, now: float) -> None:
        """Look at each child once: note a death, restart when its backoff is over."""
        for child in self.children:
            if child.running:
                continue
            if child.restart_at is None:
                self._note_death(child, now)
            elif now >= child.restart_at:
                child.start(now)
                self.say(f"{child.program.name} was started again")

    def _note_death(self, child: Child, now: float) -> None:
        if now - child.started_at >= HEALTHY_AFTER_S:
            child.backoff_s = FIRST_BACKOFF_S
        child.restart_at = now + child.backoff_s
        self.say(
            f"{child.program.name} {child.ending}; starting it again in {child.backoff_s:.0f} s"
            f" ({child.log})"
        )
        child.backoff_s = min(2 * child.backoff_s, LONGEST_BACKOFF_S)

    def _end(self) -> None:
        """End every child, foundations last; kill what does not end in time."""
        for foundation in (False, True):
            children = [c for c in self.children if c.program.foundation is foundation]
            _end([c.process for c in children if c.process], self.stop_within_s)
        for number, handler in self.former_handlers.items():
            signal.signal(number, handler)


def _end(processes: list[subprocess.Popen[bytes]], within_s: float) -> None:
    deadline = time.monotonic() + within_s
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


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _last_words(child: Child, characters: int = 600) -> str:
    """Of the present process; a log goes on where the one before it ended."""
    said = child.log.read_bytes()[child.log_start :].decode(errors="replace").strip()
    return said[-characters:] or f"it said nothing, see {child.log}"
