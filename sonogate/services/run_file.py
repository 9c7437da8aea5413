"""``up.json`` in the home directory: what the running `sonogate up` runs, and the lock it holds.

The lock is the kernel's and ends with the process, however that ends, so a file left behind by a
killed `up` is never taken for a running one.
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


@dataclass(frozen=True)
class Running:
    """One installation that is up; ``settings`` are those that override its environment."""

    pid: int
    settings: dict[str, str]


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Be the only `up` over `home`. Raises AlreadyRunning."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a") as lock:
        if not _locked(lock):
            found = _read(home)
            raise AlreadyRunning(home, found.pid if found else 0)
        try:
            yield
        finally:
            (home / NAME).unlink(missing_ok=True)


def _locked(lock: IO[str]) -> bool:
    for _ in range(5):  # `find` holds the lock for an instant too
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def write(home: Path, running: Running) -> None:
    """Say what runs; for whoever holds the lock."""
    aside = home / f".{NAME}.{os.getpid()}"
    aside.write_text(json.dumps(asdict(running), indent=2) + "\n")
    aside.replace(home / NAME)


def find(home: Path) -> Running | None:
    """The installation that is up over `home`, None when there is none."""
    try:
        lock = (home / "up.lock").open()
    except OSError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(home)
    return None


def _read(home: Path) -> Running | None:
    try:
        return Running(**json.loads((home / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
