"""The backlog: received files that the indexer has not made rows of yet.

A file is ``spool/ID`` while it arrives, ``spool/ID.BYTES`` once it is whole and flushed to disk, and
``incoming/ID.BYTES`` from then on until it has its row. IDs begin with the time of receipt, so names
sort from the oldest to the newest file.
"""

import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID

from db.files import FileStore

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]{1,18}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, order=True)
class IncomingName:
    """The name of a complete file: the ID of its instance, and its size. Older ones sort first."""

    instance_id: UUID
    size_bytes: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a name of `list_incoming`.

        Raises:
            ValueError: the name has another form.
        """
        stem, _, size = name.partition(".")
        return cls(UUID(stem), int(size))

    def __str__(self) -> str:
        return f"{self.instance_id}.{self.size_bytes}"

    @property
    def received_at(self) -> datetime:
        """When the file began to arrive."""
        return id_time(self.instance_id)


@dataclass(frozen=True)
class Backlog:
    """How many files wait for the indexer, and since when the oldest of them does."""

    files: int
    oldest_at: datetime | None

    def oldest_seconds(self, now: datetime) -> float:
        """Return the age of the oldest file, 0 without files."""
        return max(0.0, (now - self.oldest_at).total_seconds()) if self.oldest_at else 0.0

    def describe(self, now: datetime) -> str:
        """Return the backlog in words."""
        if not self.files:
            return "no file waits"
        waits = "1 file waits" if self.files == 1 else f"{self.files} files wait"
        return f"{waits}, the oldest for {self.oldest_seconds(now):.0f} s"


def new_instance_id(received_at: datetime) -> UUID:
    """Return a UUIDv7 (RFC 9562 5.7), whose first 60 bits are the time in units of 0.25 µs."""
    microseconds = (received_at - _EPOCH) // _MICROSECOND
    milliseconds, rest = divmod(microseconds, 1000)
    fraction = rest * 4096 // 1000
    value = milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)
    return UUID(int=value)


def id_time(instance_id: UUID) -> datetime:
    """Return the time in an ID of `new_instance_id`, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=instance_id.int >> 80)


def list_incoming(directory: Path) -> list[str]:
    """Return the names of the complete files in a directory, oldest first; none without it."""
    try:
        names = os.listdir(directory)  # noqa: PTH208  paths would take most of the time
    except FileNotFoundError:
        return []
    return sorted(name for name in names if _NAME.fullmatch(name))


def measure_backlog(files: FileStore) -> Backlog:
    """Count the files that wait.

    Raises:
        OSError: the store is not available.
    """
    # the spool first: a file that moves on meanwhile is then counted in one of the two
    waiting = {*list_incoming(files.spool), *list_incoming(files.incoming)}
    if not waiting:
        return Backlog(0, None)
    return Backlog(len(waiting), IncomingName.parse(min(waiting)).received_at)
