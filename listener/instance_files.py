"""Incoming files that get their rows before they count as stored."""

from db.files import FileStore
from db.types import now_utc
from dicom.data_set_walk import WalkLimits
from listener.attributes import build_received, build_sender
from listener.incoming_files import IncomingFile, IncomingFiles
from listener.origin import Origin
from listener.part10 import read_complete_header
from listener.storage import InstanceStorage


class InstanceFiles(IncomingFiles):
    """Creates the files of one store and one database."""

    def __init__(self, files: FileStore, storage: InstanceStorage) -> None:
        super().__init__(files)
        self._storage = storage

    def create(self, origin: Origin) -> IncomingFile:
        self._files.check_free_space()
        return _InstanceFile(self._files, origin, self._limits, self._storage)


class _InstanceFile(IncomingFile):
    def __init__(
        self, files: FileStore, origin: Origin, limits: WalkLimits, storage: InstanceStorage
    ) -> None:
        super().__init__(files, origin, limits)
        self._storage = storage

    def store(self) -> None:
        """Store the file and its rows.

        Raises:
            SQLAlchemyError: The database is not available.
        """
        super().store()
        try:
            self._record()
        except Exception:
            self._is_stored = False
            self.discard()
            raise

    def _record(self) -> None:
        sender = build_sender(self._origin.calling_ae, self._origin.address)
        self._storage.store(
            self._path,
            build_received(read_complete_header(self._path), sender),
            stable_after=self._origin.stable_after,
            now=now_utc(),
        )
