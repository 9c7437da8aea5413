"""The files that rows point to: under our own ids, whole or not there at all."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from db.errors import StoreFull


@dataclass(frozen=True)
class StoredFile:
    """A file in the store: path below its root, digest and size."""

    file: str
    sha256: str
    size_bytes: int


class FileStore:
    """A directory tree with a spool on the same file system.

    Files appear in their place by rename only, after their bytes are on disk.
    """

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root
        self.min_free_bytes = min_free_bytes

    @property
    def spool(self) -> Path:
        """Where files are written aside before they are renamed into place."""
        return self.root / "spool"

    def prepare(self) -> None:
        """Make the directories; safe to call again."""
        for name in ("spool", "instances", "conflicts", "results"):
            make_directory(self.root / name)

    def path(self, file: str) -> Path:
        """The absolute path of a stored file.

        Raises:
            ValueError: the path leads out of the store.
        """
        path = (self.root / file).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError("a path that leads out of the store")
        return path

    def check_room(self) -> None:
        """Raises StoreFull when less than the watermark is free."""
        free = shutil.disk_usage(self.root).free
        if free < self.min_free_bytes:
            raise StoreFull(free, self.min_free_bytes)

    def adopt(self, spooled: Path, file: str) -> StoredFile:
        """Flush a spooled file to disk and rename it into its place.

        Raises:
            OSError: the disk is full or gone; the spooled file is still there.
        """
        digest, size = flush_and_digest(spooled)
        target = self.path(file)
        make_directory(target.parent)
        spooled.rename(target)
        flush_directory(target.parent)
        return StoredFile(file, digest, size)

    def write(self, file: str, content: bytes) -> StoredFile:
        """Write bytes whole or not at all; an older file of that name is replaced."""
        spooled = self.spool / f"{uuid4()}.part"
        try:
            spooled.write_bytes(content)
            return self.adopt(spooled, file)
        finally:
            spooled.unlink(missing_ok=True)

    def remove(self, file: str) -> None:
        self.path(file).unlink(missing_ok=True)

    def sweep_spool(self, older_than: float) -> int:
        """Remove spooled files last touched before the POSIX time given; returns how many.

        A sender that dies in the middle of a transfer leaves its part behind.
        """
        return sum(_remove_stale(path, older_than) for path in self.spool.iterdir())


def instance_file(instance_id: UUID) -> str:
    """Spread over 256 directories: one with a million entries is slow to list and to back up."""
    return f"instances/{instance_id.hex[:2]}/{instance_id}.dcm"


def conflict_file(conflict_id: UUID) -> str:
    return f"conflicts/{conflict_id}.dcm"


def result_file(analysis_id: UUID, name: str) -> str:
    return f"results/{analysis_id}/{name}"


def make_directory(directory: Path) -> None:
    """Make it and its parents; a new directory survives a crash only when its parent is flushed."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        flush_directory(directory.parent)


def flush_directory(directory: Path) -> None:
    """A rename survives a crash only when its directory is on disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(path: Path, older_than: float) -> bool:
    try:
        stale = path.stat().st_mtime < older_than
    except FileNotFoundError:  # renamed into its place meanwhile
        return False
    if stale:
        path.unlink(missing_ok=True)
    return stale


def flush_and_digest(path: Path) -> tuple[str, int]:
    """Bring a file's bytes to the disk; returns their SHA-256 in hex, and how many there are."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
