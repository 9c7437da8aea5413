"""Store received files together with their rows.

A file is in its final place before its row is committed. A crash in between leaves a file without a
row, which `listener.orphans` recovers. In the opposite order it would leave a row without a file,
which could not be repaired.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError

from db import intake
from db.engine import Database
from db.files import FileStore, conflict_file, flush_and_digest, instance_file
from db.intake import ReceivedInstance, Sender, StoreOutcome
from db.schema import Instance
from listener import part10


@dataclass(frozen=True)
class StoreResult:
    """The outcome of one file, and the instance stored under its SOP Instance UID."""

    outcome: StoreOutcome
    instance_id: UUID


@dataclass(frozen=True)
class _StoredInstance:
    instance_id: UUID
    path: Path
    file: str
    sha256: str
    transfer_syntax_uid: str


class InstanceStorage:
    """Stores instances; recognizes duplicates and conflicts."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files

    def store(
        self, path: Path, received: ReceivedInstance, *, stable_after: timedelta, now: datetime
    ) -> StoreResult:
        """Move a received file into the store and commit its rows.

        The listener may answer Success once this returns.

        Raises:
            OSError: The disk is full or not available.
            SQLAlchemyError: The database is not available. A file already moved stays in place.
        """
        # queried first, so that the file stays where it is while the database is down
        stored = self._find(received)
        if stored is not None:
            return self._store_again(stored, path, received, now)
        instance_id = uuid4()
        file = self._files.move_from_spool(path, instance_file(instance_id, now.date()))
        try:
            with self._database.write() as session:
                intake.record_stored(
                    session, received, instance_id, file, stable_after=stable_after, now=now
                )
        except IntegrityError:  # another association stored the same UID at the same time
            stored = self._find(received)
            if stored is None:
                raise
            return self._store_again(stored, self._files.path(file.file), received, now)
        return StoreResult(StoreOutcome.STORED, instance_id)

    def _find(self, received: ReceivedInstance) -> _StoredInstance | None:
        with self._database.read() as session:
            row = intake.find_instance(session, received.instance.sop_instance_uid)
            if row is None:
                return None
            path = self._files.path(row.file)
            return _StoredInstance(row.id, path, row.file, row.sha256, row.transfer_syntax_uid)

    def _store_again(
        self, stored: _StoredInstance, path: Path, received: ReceivedInstance, now: datetime
    ) -> StoreResult:
        """Handle a file whose SOP Instance UID is already stored."""
        if stored.path == path:  # another listener recovered the same orphan
            return StoreResult(StoreOutcome.DUPLICATE, stored.instance_id)
        is_lost = not stored.path.exists()
        if is_lost:
            is_same = flush_and_digest(path)[0] == stored.sha256
        else:
            same_encoding = stored.transfer_syntax_uid == received.instance.transfer_syntax_uid
            is_same = same_encoding and part10.has_same_data_set(stored.path, path)
        if not is_same:
            return self._store_conflict(stored, path, received.sender, now)
        if is_lost:  # the file disappeared from our disk: restore it
            self._files.move_from_spool(path, stored.file)
        with self._database.write() as session:
            instance = session.get_one(Instance, stored.instance_id)
            intake.record_duplicate(session, instance, received.sender, now)
        path.unlink(missing_ok=True)
        return StoreResult(StoreOutcome.DUPLICATE, stored.instance_id)

    def _store_conflict(
        self, stored: _StoredInstance, path: Path, sender: Sender, now: datetime
    ) -> StoreResult:
        conflict_id = uuid4()
        file = self._files.move_from_spool(path, conflict_file(conflict_id))
        with self._database.write() as session:
            instance = session.get_one(Instance, stored.instance_id)
            is_new = intake.record_conflict(session, instance, conflict_id, file, sender, now)
        if not is_new:
            self._files.remove(file.file)
        return StoreResult(StoreOutcome.CONFLICT, stored.instance_id)
