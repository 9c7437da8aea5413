"""The file store: received and created files, under Sonogate's own IDs."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

from db.errors import StoreFull


@dataclass(frozen=True)
class StoredFile:
    """A file in the store: path relative to the root, SHA-256 and size."""

    file: str
    sha256: str
    size_bytes: int
    data_set_sha256: str | None = None
    """Of a received file, without its file meta information."""


class FileStore:
    """A directory tree with a spool directory on the same file system.

    Files are written to the spool, flushed to disk and then renamed, so that a file in its final
    place is always complete.
    """

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        self.root = root
        self.min_free_bytes = min_free_bytes

    @property
    def spool(self) -> Path:
        """The directory for incomplete files."""
        return self.root / "spool"

    @property
    def incoming(self) -> Path:
        """The directory for received files without a row: see `db.incoming`."""
        return self.root / "incoming"

    def prepare(self) -> None:
        """Create the directories that do not exist yet."""
        for name in ("spool", "incoming", "instances", "conflicts", "results"):
            create_directory(self.root / name)

    def path(self, file: str) -> Path:
        """Return the absolute path of a stored file.

        Raises:
            ValueError: the path is outside the store.
        """
        path = (self.root / file).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError("a path outside the file store")
        return path

    def check_free_space(self) -> None:
        """Check that the disk has at least ``min_free_bytes`` free.

        Raises:
            StoreFull: it has less.
        """
        free = shutil.disk_usage(self.root).free
        if free < self.min_free_bytes:
            raise StoreFull(free, self.min_free_bytes)

    def move_from_spool(self, spooled: Path, file: str) -> StoredFile:
        """Flush a spooled file to disk and rename it to its final place.

        Raises:
            OSError: the disk is full or not available. The spooled file remains.
        """
        digest, size = flush_and_digest(spooled)
        target = self.path(file)
        create_directory(target.parent)
        spooled.rename(target)
        flush_directory(target.parent)
        return StoredFile(file, digest, size)

    def write(self, file: str, content: bytes) -> StoredFile:
        """Write a file completely or not at all. Replaces an existing file."""
        spooled = self.spool / f"{uuid4()}.part"
        try:
            spooled.write_bytes(content)
            return self.move_from_spool(spooled, file)
        finally:
            spooled.unlink(missing_ok=True)

    def remove(self, file: str) -> None:
        self.path(file).unlink(missing_ok=True)

    def remove_stale_spool_files(self, older_than: float) -> int:
        """Delete spooled files of interrupted transfers and return their number.

        Complete incoming files, whose names end in their size, are never deleted.

        Args:
            older_than: POSIX time. Files modified later remain.
        """
        removed = 0
        for path in self.spool.iterdir():
            if path.suffix[1:].isdecimal():
                continue
            try:
                if path.stat().st_mtime < older_than:
                    path.unlink(missing_ok=True)
                    removed += 1
            except FileNotFoundError:  # moved to its final place meanwhile
                continue
        return removed


def instance_file(instance_id: UUID, received_on: date) -> str:
    """Return the path for a received instance, in a directory for each day.

    A batch of new instances then needs one flush of one directory, and backups find what is new.
    """
    return f"instances/{received_on.isoformat()}/{instance_id}.dcm"


def conflict_file(conflict_id: UUID) -> str:
    return f"conflicts/{conflict_id}.dcm"


def result_file(analysis_id: UUID, name: str) -> str:
    return f"results/{analysis_id}/{name}"


def create_directory(directory: Path) -> None:
    """Create a directory and its parents, and flush their entries to disk."""
    if not directory.is_dir():
        create_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        flush_directory(directory.parent)


def flush_directory(directory: Path) -> None:
    """Flush the entries of a directory to disk, so that a rename in it survives a crash."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_and_digest(path: Path) -> tuple[str, int]:
    """Flush a file to disk and return its SHA-256 in hex and its size in bytes."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()
