"""What the rows of a received file need, read from the file alone."""

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from db.files import StoredFile
from db.intake import ReceivedInstance, Sender
from db.routes import Source
from dicom.errors import TruncatedFile
from dicom.images.row_header import read_row_header
from listener.attributes import build_received, build_sender
from listener.incoming_files import data_set_reader
from listener.origin import MAX_FILE_META_BYTES, Origin, parse_file_meta

_CHUNK_BYTES: Final = 1 << 20
_UNKNOWN_SENDER: Final = Sender("", "")
_DEFAULT_STABLE_AFTER: Final = timedelta(
    seconds=Source.model_fields["stable_after_seconds"].default
)


@dataclass(frozen=True)
class WaitingFile:
    """A file that needs rows."""

    path: Path
    file: str
    """Its path relative to the store."""
    instance_id: UUID
    size_bytes: int | None = None
    """What its name says; None if it does not."""


@dataclass(frozen=True)
class ReceivedFile:
    """A whole file with everything that its rows state."""

    waiting: WaitingFile
    received: ReceivedInstance
    stored: StoredFile
    """Where it is now."""
    received_at: datetime
    complete_at: datetime
    stable_after: timedelta

    @property
    def sop_instance_uid(self) -> str:
        return self.received.instance.sop_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self.received.instance.transfer_syntax_uid


def read_received_file(waiting: WaitingFile, now: datetime) -> ReceivedFile:
    """Read and check a file.

    Raises:
        DicomError: The file is not a whole DICOM object.
        OSError: It cannot be read; FileNotFoundError if it is gone.
    """
    descriptor = os.open(waiting.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if waiting.size_bytes not in (None, status.st_size):
            raise TruncatedFile
        meta = parse_file_meta(os.pread(descriptor, MAX_FILE_META_BYTES, 0))
        read = data_set_reader(descriptor, meta.data_set_offset)
        header = read_row_header(read, meta.transfer_syntax_uid)
        sha256, data_set_sha256 = _compute_digests(descriptor, meta.data_set_offset)
    finally:
        os.close(descriptor)
    complete_at = min(datetime.fromtimestamp(status.st_mtime, UTC), now)
    origin = meta.origin
    return ReceivedFile(
        waiting,
        build_received(header, _build_sender(origin)),
        StoredFile(waiting.file, sha256, status.st_size, data_set_sha256),
        received_at=origin.received_at if origin else complete_at,
        complete_at=complete_at,
        stable_after=origin.stable_after if origin else _DEFAULT_STABLE_AFTER,
    )


def has_data_set_of(first: Path, second: Path) -> bool:
    """Whether two files have the same data set, byte for byte.

    Raises DicomError, OSError.
    """
    return _read_data_set_digest(first) == _read_data_set_digest(second)


def _read_data_set_digest(path: Path) -> str:
    with path.open("rb") as stream:
        meta = parse_file_meta(stream.read(MAX_FILE_META_BYTES))
        stream.seek(meta.data_set_offset)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _compute_digests(descriptor: int, data_set_offset: int) -> tuple[str, str]:
    """Return the SHA-256 of a file and that of its data set."""
    of_file = hashlib.sha256(os.pread(descriptor, data_set_offset, 0))
    of_data_set = hashlib.sha256()
    at = data_set_offset
    while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
        of_file.update(chunk)
        of_data_set.update(chunk)
        at += len(chunk)
    return of_file.hexdigest(), of_data_set.hexdigest()


def _build_sender(origin: Origin | None) -> Sender:
    return build_sender(origin.calling_ae, origin.address) if origin else _UNKNOWN_SENDER
