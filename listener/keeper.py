"""A received file and its rows: both there, or neither acknowledged.

The file is in its place before its row is committed. A crash in between leaves a file without a row
that nobody was told of: `listener.reconcile` finds it. The other order would leave a row without a
file, and that nobody could mend.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError

from db import intake
from db.engine import Database
from db.files import FileStore, StoredFile, conflict_file, flush_and_digest, instance_file
from db.intake import ReceivedInstance, Sender, StoreOutcome
from db.schema import Instance
from listener import part10


@dataclass(frozen=True)
class Kept:
    """What became of a file; ``instance_id`` is the instance that we hold under its UID."""

    outcome: StoreOutcome
    instance_id: UUID


@dataclass(frozen=True)
class _Held:
    """The instance that was there before."""

    instance_id: UUID
    path: Path
    file: str
    sha256: str
    transfer_syntax_uid: str


class Keeper:
    """Puts received files away."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files

    def keep(
        self, spooled: Path, received: ReceivedInstance, *, stable_after: timedelta, now: datetime
    ) -> Kept:
        """Store, or recognize, or set aside; when this returns, Success may be answered.

        Raises:
            OSError: the disk is full or gone.
            SQLAlchemyError: the database is down; if the file is in its place already it stays.
        """
        if self._held(received) is None:  # asked first: a database that is down costs no file
            instance_id = uuid4()
            kept = self._files.move_from_spool(spooled, instance_file(instance_id))
            return self.record(instance_id, kept, received, stable_after=stable_after, now=now)
        return self._keep_again(spooled, received, now)

    def record(
        self,
        instance_id: UUID,
        kept: StoredFile,
        received: ReceivedInstance,
        *,
        stable_after: timedelta,
        now: datetime,
    ) -> Kept:
        """Rows for a file that lies in its place. Raises as `keep`."""
        try:
            with self._database.write() as session:
                intake.record_stored(
                    session, received, instance_id, kept, stable_after=stable_after, now=now
                )
        except IntegrityError:  # another association stored the same UID at the same time
            if self._held(received) is None:
                raise
            return self._keep_again(self._files.path(kept.file), received, now)
        return Kept(StoreOutcome.STORED, instance_id)

    def _held(self, received: ReceivedInstance) -> _Held | None:
        with self._database.read() as session:
            found = intake.find_instance(session, received.instance.sop_instance_uid)
            if found is None:
                return None
            path = self._files.path(found.file)
            return _Held(found.id, path, found.file, found.sha256, found.transfer_syntax_uid)

    def _keep_again(self, path: Path, received: ReceivedInstance, now: datetime) -> Kept:
        held = self._held(received)
        assert held is not None
        if held.path == path:  # recorded by another listener that found it at the same time
            return Kept(StoreOutcome.DUPLICATE, held.instance_id)
        if self._is_same(held, path, received):
            return self._recognize(held, path, received.sender, now)
        return self._set_aside(held, path, received.sender, now)

    def _is_same(self, held: _Held, path: Path, received: ReceivedInstance) -> bool:
        if not held.path.exists():
            return flush_and_digest(path)[0] == held.sha256
        same_encoding = held.transfer_syntax_uid == received.instance.transfer_syntax_uid
        return same_encoding and part10.same_data_set(held.path, path)

    def _recognize(self, held: _Held, path: Path, sender: Sender, now: datetime) -> Kept:
        if not held.path.exists():  # lost from our disk, and here it is again
            self._files.move_from_spool(path, held.file)
        with self._database.write() as session:
            instance = session.get_one(Instance, held.instance_id)
            intake.record_duplicate(session, instance, sender, now)
        path.unlink(missing_ok=True)
        return Kept(StoreOutcome.DUPLICATE, held.instance_id)

    def _set_aside(self, held: _Held, path: Path, sender: Sender, now: datetime) -> Kept:
        conflict_id = uuid4()
        kept = self._files.move_from_spool(path, conflict_file(conflict_id))
        with self._database.write() as session:
            instance = session.get_one(Instance, held.instance_id)
            fresh = intake.record_conflict(session, instance, conflict_id, kept, sender, now)
        if not fresh:
            self._files.remove(kept.file)
        return Kept(StoreOutcome.CONFLICT, held.instance_id)
