"""Where a data set goes while it comes in: a file aside, on the store's own file system.

pynetdicom writes chunked data sets to a ``NamedTemporaryFile`` and offers no way to choose where,
nor to survive a disk that fills up meanwhile: the exception would end its reader thread and the
sender would see its connection die. A `Part` stands in: after a failure it lets the rest pass by,
so that the request can be answered with a status.
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

_OUR_FILE_META: Final = partial(
    create_file_meta,
    implementation_uid=UID(IMPLEMENTATION_CLASS_UID),
    implementation_version=IMPLEMENTATION_VERSION_NAME,
)


class Part:
    """What pynetdicom asks of a temporary file, unbuffered: it comes in pieces of a whole PDU."""

    def __init__(self, path: Path, files: FileStore) -> None:
        self.name = str(path)
        self.problem: Exception | None = None
        self._path = path
        try:
            files.check_free_space()
            self._stream = path.open("wb", buffering=0)
            # a sender that breaks off leaves its part to nobody: it goes with the last reference
            finalize(self, _discard, self._stream, path)
        except (OSError, DbError) as error:
            self.problem = error

    @property
    def file(self) -> "Part":
        """pynetdicom flushes the file inside the wrapper."""
        return self

    def write(self, chunk: bytes) -> int:
        """Take a piece; once one could not be written, no more are."""
        if self.problem is None:
            try:
                self._write_all(memoryview(chunk))
            except OSError as error:
                self._give_up(error)
        return len(chunk)

    def flush(self) -> None:
        """Nothing to do: unbuffered. `FileStore.adopt` brings it to the disk."""

    def close(self) -> None:
        if self.problem is None:
            self._stream.close()

    def _write_all(self, rest: memoryview) -> None:
        while rest:  # a disk that is nearly full takes less than it is given
            rest = rest[self._stream.write(rest) :]

    def _give_up(self, error: OSError) -> None:
        self.problem = error
        _discard(self._stream, self._path)  # gives the room back at once


def _discard(stream: FileIO, path: Path) -> None:
    """Nothing is lost of a part that was kept: it has another name by now."""
    stream.close()
    path.unlink(missing_ok=True)


class Spool:
    """The parts of one store."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._parts: WeakValueDictionary[str, Part] = WeakValueDictionary()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Receive in chunks into this spool. The switch is pynetdicom's own, for the process."""
        chunked = _config.STORE_RECV_CHUNKED_DATASET
        ours = {"NamedTemporaryFile": self.new_part, "create_file_meta": _OUR_FILE_META}
        theirs = {name: getattr(dimse_messages, name) for name in ours}
        _config.STORE_RECV_CHUNKED_DATASET = True
        vars(dimse_messages).update(ours)
        try:
            yield
        finally:
            _config.STORE_RECV_CHUNKED_DATASET = chunked
            vars(dimse_messages).update(theirs)

    def new_part(self, **_asked: Any) -> Part:
        part = Part(self._files.spool / f"{uuid4()}.part", self._files)
        self._parts[part.name] = part
        return part

    def received(self, path: Path) -> Path:
        """A part that is there to its last byte.

        Raises:
            StoreFull: there was too little room for it.
            OSError: the disk took no more of it.
        """
        part = self._parts.get(str(path))
        if part is not None and part.problem is not None:
            raise part.problem
        return path
