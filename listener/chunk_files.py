"""Write data sets that pynetdicom receives to temporary files on the file system of the store.

pynetdicom writes chunked data sets to a ``NamedTemporaryFile``. Its directory cannot be chosen, and
an error while writing ends the reader thread, so the sender sees its connection break. An
`ChunkFile` replaces it: after an error it discards the rest of the data set, and the request is
answered with a status.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any, Final
from uuid import uuid4
from weakref import WeakValueDictionary, finalize

from pydicom.uid import UID
from pynetdicom import _config, dimse_messages
from pynetdicom.dsutils import create_file_meta

from db.errors import DbError
from db.files import FileStore
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_CREATE_FILE_META: Final = partial(
    create_file_meta,
    implementation_uid=UID(IMPLEMENTATION_CLASS_UID),
    implementation_version=IMPLEMENTATION_VERSION_NAME,
)


class ChunkFile:
    """The interface of a temporary file that pynetdicom uses, unbuffered."""

    def __init__(self, path: Path, files: FileStore) -> None:
        self.name = str(path)
        self.error: Exception | None = None
        self._path = path
        try:
            files.check_free_space()
            self._stream = path.open("wb", buffering=0)
            # removes the file of an aborted transfer when its last reference disappears
            finalize(self, _discard, self._stream, path)
        except (OSError, DbError) as error:
            self.error = error

    @property
    def file(self) -> "ChunkFile":
        """The file object inside the wrapper, which pynetdicom flushes."""
        return self

    def write(self, chunk: bytes) -> int:
        """Write `chunk`. After an error, it is discarded."""
        if self.error is None:
            try:
                rest = memoryview(chunk)
                while rest:  # a disk that is nearly full writes less than requested
                    rest = rest[self._stream.write(rest) :]
            except OSError as error:
                self.error = error
                _discard(self._stream, self._path)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: the file is unbuffered, and `FileStore.move_from_spool` flushes it to disk."""

    def close(self) -> None:
        if self.error is None:
            self._stream.close()


def _discard(stream: FileIO, path: Path) -> None:
    """Close and remove a file, unless it was renamed into the store."""
    stream.close()
    path.unlink(missing_ok=True)


class ChunkFiles:
    """The temporary files of one store."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._open: WeakValueDictionary[str, ChunkFile] = WeakValueDictionary()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make pynetdicom receive in chunks into these files, in the whole process."""
        chunked = _config.STORE_RECV_CHUNKED_DATASET
        replacements = {"NamedTemporaryFile": self.create, "create_file_meta": _CREATE_FILE_META}
        originals = {name: getattr(dimse_messages, name) for name in replacements}
        _config.STORE_RECV_CHUNKED_DATASET = True
        vars(dimse_messages).update(replacements)
        try:
            yield
        finally:
            _config.STORE_RECV_CHUNKED_DATASET = chunked
            vars(dimse_messages).update(originals)

    def create(self, **_options: Any) -> ChunkFile:
        """Return a new file. Options of ``NamedTemporaryFile`` are ignored."""
        chunk_file = ChunkFile(self._files.spool / f"{uuid4()}.part", self._files)
        self._open[chunk_file.name] = chunk_file
        return chunk_file

    def check(self, path: Path) -> None:
        """Raise the error that occurred while the file was written, if any.

        Raises:
            StoreFull: Too little space was free.
            OSError: The disk failed or became full.
        """
        chunk_file = self._open.get(str(path))
        if chunk_file is not None and chunk_file.error is not None:
            raise chunk_file.error
