"""``up.json`` in the home directory: the process id and the settings of a running `sonogate up`.

The process holds a kernel lock on ``up.lock`` beside it. The lock ends with the process, so the
file of a killed `up` is not mistaken for a running one.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from sonogate.errors import AlreadyRunning

NAME = "up.json"
LOCK_NAME = "up.lock"


@dataclass(frozen=True)
class RunFile:
    """A running installation. ``settings`` holds those that override its environment."""

    pid: int
    settings: dict[str, str]


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold the lock of `home` until the block ends.

    Raises:
        AlreadyRunning: Another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK_NAME).open("a") as lock:
        if not _try_lock(lock):
            other = _read(home)
            raise AlreadyRunning(home, other.pid if other else 0)
        try:
            yield
        finally:
            (home / NAME).unlink(missing_ok=True)


def _try_lock(lock: IO[str]) -> bool:
    for _ in range(5):  # `find_running` holds the lock for an instant too
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def write(home: Path, content: RunFile) -> None:
    """Write the file atomically. The caller holds the lock."""
    temporary = home / f".{NAME}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(content), indent=2) + "\n")
    temporary.replace(home / NAME)


def find_running(home: Path) -> RunFile | None:
    """Return the installation that runs in `home`, or None."""
    try:
        lock = (home / LOCK_NAME).open()
    except OSError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(home)
    return None


def _read(home: Path) -> RunFile | None:
    try:
        return RunFile(**json.loads((home / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
