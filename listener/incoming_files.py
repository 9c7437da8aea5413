"""Write received objects to files that survive a power cut and say where they came from.

The listener creates an `IncomingFile` for each object, writes its data set as it comes, and answers
Success after `IncomingFile.store`. The indexer then makes its rows: see `db.incoming` for the names
of the file on its way.
"""

import logging
import os
import threading
import time
from typing import Final

from db.errors import BacklogTooLong
from db.files import FileStore, flush_directory
from db.incoming import IncomingName, measure_backlog, new_instance_id
from dicom.data_set_walk import ReadAt, WalkLimits
from dicom.identity import read_identity
from listener.errors import IdentityMismatch
from listener.origin import Origin, encode_file_meta

__all__ = ["IncomingFile", "IncomingFiles", "Origin"]

logger = logging.getLogger(__name__)

_SPACE_CHECK_BYTES: Final = 16 << 20
"""How much is written between two checks of the free space."""
_BACKLOG_CHECK_SECONDS: Final = 1.0


class IncomingFiles:
    """Creates the incoming files of one store. Safe to use from several threads."""

    def __init__(
        self,
        files: FileStore,
        *,
        max_backlog_files: int = 0,
        max_inflated_bytes: int = WalkLimits.inflated_bytes,
    ) -> None:
        """``max_backlog_files`` 0 stands for no limit."""
        self._files = files
        self._max_backlog_files = max_backlog_files
        self._limits = WalkLimits(inflated_bytes=max_inflated_bytes)
        self._lock = threading.Lock()
        self._backlog_files = 0
        self._backlog_check_at = 0.0

    def create(self, origin: Origin) -> "IncomingFile":
        """Return a new file that contains the file meta information.

        Raises:
            StoreFull: Too little space is free.
            BacklogTooLong: Too many files wait for the indexer.
            OSError: The disk failed.
        """
        self._files.check_free_space()
        self._check_backlog()
        return IncomingFile(self._files, origin, self._limits)

    def _check_backlog(self) -> None:
        if not self._max_backlog_files:
            return
        with self._lock:
            if time.monotonic() > self._backlog_check_at:  # listing a long backlog takes a while
                self._backlog_files = measure_backlog(self._files).files
                self._backlog_check_at = time.monotonic() + _BACKLOG_CHECK_SECONDS
            if self._backlog_files >= self._max_backlog_files:
                raise BacklogTooLong(self._backlog_files, self._max_backlog_files)


class IncomingFile:
    """One object on its way in. After an error the file is removed, and no method may follow."""

    def __init__(self, files: FileStore, origin: Origin, limits: WalkLimits) -> None:
        self._files = files
        self.origin = origin
        self._limits = limits
        self._id = new_instance_id(origin.received_at)
        self._path = files.spool / str(self._id)
        self._size_bytes = 0
        self._space_check_at = _SPACE_CHECK_BYTES
        self._is_stored = False
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        self.write(encode_file_meta(origin))
        self._file_meta_bytes = self._size_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append a part of the data set.

        Raises:
            StoreFull: Too little space is free.
            OSError: The disk is full or failed.
        """
        try:
            rest = memoryview(data)
            while rest:  # a disk that is nearly full writes less than requested
                written = os.write(self._descriptor, rest)
                self._size_bytes += written
                rest = rest[written:]
            if self._size_bytes > self._space_check_at:
                self._space_check_at = self._size_bytes + _SPACE_CHECK_BYTES
                self._files.check_free_space()
        except Exception:
            self.discard()
            raise

    def store(self) -> None:
        """Check the object and make it survive a power cut. Success may be answered after it.

        Raises:
            IdentityMismatch: The data set has another SOP class or instance than was announced.
            DicomError: The data set is not whole, lacks an identifying UID, or exceeds a limit.
            OSError: The disk is full or failed.
        """
        try:
            self._check()
            # The name comes first, so that one commit of the file system's journal takes both. A
            # file shorter than its name says was promised to nobody.
            name = str(IncomingName(self._id, self._size_bytes))
            self._path = self._path.rename(self._files.spool / name)
            os.fsync(self._descriptor)
            flush_directory(self._files.spool)
        except Exception:
            self.discard()
            raise
        self._is_stored = True

    def publish(self) -> None:
        """Make a stored file visible to the indexer, once its response is sent or cannot be sent.

        A file that cannot be moved remains in the spool, where the indexer finds it later.
        """
        assert self._is_stored
        self._close()
        try:
            self._path.rename(self._files.incoming / self._path.name)
        except FileNotFoundError:  # the indexer found it first
            pass
        except OSError as error:
            logger.error("a received file remains in the spool: %s", error.strerror)

    def discard(self) -> None:
        """Remove the file. A stored one is published instead: Success may have been answered."""
        if self._descriptor < 0:
            return
        if self._is_stored:
            self.publish()
            return
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _check(self) -> None:
        read = data_set_reader(self._descriptor, self._file_meta_bytes)
        identity = read_identity(read, self.origin.transfer_syntax_uid, self._limits)
        for keyword, actual, announced in (
            ("SOPInstanceUID", identity.sop_instance_uid, self.origin.sop_instance_uid),
            ("SOPClassUID", identity.sop_class_uid, self.origin.sop_class_uid),
        ):
            if actual != announced:
                raise IdentityMismatch(keyword)


def data_set_reader(descriptor: int, data_set_offset: int) -> ReadAt:
    """Return a function that reads the data set of an open file."""

    def read(at: int, count: int) -> bytes:
        return os.pread(descriptor, count, data_set_offset + at)

    return read
