"""The indexer makes the rows of received files.

It takes the oldest files of ``incoming/`` and links them into their place, commits their rows, audit
events and jobs in one transaction, and then removes them from ``incoming/``. A crash at any moment
leaves a file that is taken again; one that has its row by then only moves. Files of the store that
have no row, because the database is new or older than they are, are taken in the same way.
"""

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID, uuid4

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from db import audit, intake, known_files
from db.audit_tags import AuditTag
from db.engine import Database
from db.files import FileStore, conflict_file, create_directory, flush_directory, instance_file
from db.incoming import IncomingName, list_incoming
from db.intake import (
    ACTOR,
    Arrival,
    ConflictingInstance,
    DuplicateInstance,
    Sender,
    StoredInstance,
    StoreOutcome,
)
from db.known_files import KnownFile
from db.types import now_utc
from dicom.errors import DicomError
from listener.received_file import (
    ReceivedFile,
    WaitingFile,
    has_data_set_of,
    read_received_file,
)

logger = logging.getLogger(__name__)

BATCH_FILES: Final = 256
QUARANTINED: Final = "quarantined"
MOVED: Final = "moved"
"""The outcome of a file that had its row already."""
_READING_THREADS: Final = 4
_NO_SENDER: Final = Sender("", "")
_DAMAGED_FILE: Final = (errno.EACCES, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EPERM)
"""Errors of reading that concern one file. Any other concerns the disk or the process."""


@dataclass(frozen=True)
class _Step:
    """What becomes of one file: the row to add, if any, and its place in the store, if it stays."""

    waiting: WaitingFile
    outcome: str
    arrival: Arrival | None
    target: str


class Indexer:
    """Makes rows. Only one may work on a store at a time: see `listener.index_service`."""

    def __init__(
        self, database: Database, files: FileStore, clock: Callable[[], datetime] = now_utc
    ) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self._threads = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()

    def index_incoming(self) -> Iterator[Counter[str]]:
        """Index the files that wait now, oldest first. Yields the outcomes of each batch.

        Raises:
            SQLAlchemyError, OSError: Database or disk is not available. Call again later.
        """
        names = list_incoming(self._files.incoming)
        for start in range(0, len(names), BATCH_FILES):
            yield self.index(_describe_incoming(self._files, names[start : start + BATCH_FILES]))

    def index_files_without_row(self) -> Iterator[Counter[str]]:
        """Index the files of the store that have no row. Yields the outcomes of each batch.

        The instances come before the conflicts, which refer to them.

        Raises:
            SQLAlchemyError, OSError: Database or disk is not available. Call again later.
        """
        for folder in ("instances", "conflicts"):
            for paths in _in_batches(_list_files(self._files.root / folder)):
                yield self.index(self._select_without_row(paths))

    def index(self, waiting: Sequence[WaitingFile]) -> Counter[str]:
        """Index files in one transaction. Returns the number of files by outcome.

        If one of them cannot become a row, the others still do, and it moves to ``quarantine``.
        """
        try:
            return self._index_together(waiting)
        except Exception as error:
            if not _concerns_one_file(error):
                raise
            if len(waiting) == 1:
                return Counter([self._quarantine(waiting[0], error)])
            logger.error("a batch failed: %s; its files follow singly", type(error).__name__)
        return sum((self.index([one]) for one in waiting), Counter[str]())

    def recover_spool(self, written_before: float) -> int:
        """Publish the complete files that a listener left in the spool. Returns their number.

        Args:
            written_before: POSIX time. Younger files are left to their listener.

        Raises:
            OSError: The disk is not available.
        """
        recovered = 0
        for name in list_incoming(self._files.spool):
            path = self._files.spool / name
            try:
                if path.stat().st_mtime < written_before:
                    _flush(path)
                    path.rename(self._files.incoming / name)
                    recovered += 1
            except FileNotFoundError:  # its listener published it meanwhile
                continue
        return recovered

    def _index_together(self, waiting: Sequence[WaitingFile]) -> Counter[str]:
        if not waiting:
            return Counter()
        now = self._clock()
        steps: list[_Step] = []
        readable: list[ReceivedFile] = []
        for one, read in zip(
            waiting, self._threads.map(lambda one: _try_read(one, now), waiting), strict=True
        ):
            if isinstance(read, ReceivedFile):
                readable.append(read)
            elif read is not None:
                steps.append(_Step(one, self._quarantine(one, read), None, ""))
        with self._database.read() as session:
            plan = _Plan(
                self._files,
                known_files.find_recorded_files(session, [r.waiting.instance_id for r in readable]),
                known_files.find_instances(session, [r.sop_instance_uid for r in readable]),
                lambda instance_id: known_files.find_conflicts(session, [instance_id]),
            )
            steps += [plan.add(received) for received in readable]
        self._link(steps)
        self._commit(steps, now)
        for step in steps:
            if step.target != step.waiting.file:
                step.waiting.path.unlink(missing_ok=True)
        return Counter(step.outcome for step in steps)

    def _commit(self, steps: Sequence[_Step], now: datetime) -> None:
        arrivals = [step.arrival for step in steps if step.arrival]
        if not arrivals:
            return
        try:
            with self._database.write() as session:
                intake.record_arrivals(session, arrivals, now)
        except Exception as error:
            if _concerns_one_file(error):  # then nothing was committed for certain
                for step in steps:
                    if step.arrival and step.target not in ("", step.waiting.file):
                        self._files.remove(step.target)
            raise

    def _link(self, steps: Iterable[_Step]) -> None:
        """Give the files their names in the store, and flush these to disk."""
        directories: set[Path] = set()
        for step in steps:
            if step.target and step.target != step.waiting.file:
                target = self._files.path(step.target)
                if target.parent not in directories:
                    create_directory(target.parent)
                    directories.add(target.parent)
                _link_or_replace(step.waiting.path, target, self._files.spool)
        for directory in directories:
            flush_directory(directory)

    def _quarantine(self, waiting: WaitingFile, error: Exception) -> str:
        code = error.code if isinstance(error, DicomError) else _describe_error(error)
        logger.error("file %s moves to quarantine: %s", waiting.file, code)
        name = f"quarantine/{waiting.instance_id}.dcm"
        with self._database.write() as session:
            now = self._clock()
            audit.append(
                session,
                AuditTag.ORPHAN_SET_ASIDE,
                actor=ACTOR,
                now=now,
                file=name,
                found_as=waiting.file,
                code=code,
            )
            intake.count_event(session, _NO_SENDER, QUARANTINED, now)
        target = self._files.path(name)
        create_directory(target.parent)
        waiting.path.rename(target)
        return QUARANTINED

    def _select_without_row(self, paths: Sequence[Path]) -> list[WaitingFile]:
        by_file = {path.relative_to(self._files.root).as_posix(): path for path in paths}
        with self._database.read() as session:
            files = known_files.find_files_without_row(session, by_file)
        return [
            WaitingFile(by_file[file], file, _parse_id(by_file[file].stem))
            for file in sorted(files)
        ]


class _Plan:
    """Decides what becomes of each file of a batch, in their order."""

    def __init__(
        self,
        files: FileStore,
        recorded: dict[UUID, str],
        instances: dict[str, KnownFile],
        find_conflicts: Callable[[UUID], list[KnownFile]],
    ) -> None:
        """``recorded`` are files by ID, ``instances`` those by SOP Instance UID."""
        self._files = files
        self._recorded = recorded
        self._instances = instances
        self._find_conflicts = find_conflicts
        self._new_conflicts: list[KnownFile] = []
        self._new_instances: set[UUID] = set()

    def add(self, received: ReceivedFile) -> _Step:
        waiting = received.waiting
        recorded = self._recorded.get(waiting.instance_id)
        if recorded is not None:  # a crash after the commit, or its name after a repair
            is_there = self._files.path(recorded).exists()
            return _Step(waiting, MOVED, None, "" if is_there else recorded)
        known = self._instances.get(received.sop_instance_uid)
        if known is None:
            return self._store(received)
        is_lost = known.instance_id not in self._new_instances and not self._path(known).exists()
        if self._is_same(known, received, is_lost=is_lost):
            restored = replace(received.stored, file=known.file) if is_lost else None
            duplicate = DuplicateInstance(
                known.instance_id, received.received.sender, received.received_at, restored
            )
            return _Step(waiting, StoreOutcome.DUPLICATE, duplicate, known.file if is_lost else "")
        return self._conflict(known, received)

    def _store(self, received: ReceivedFile) -> _Step:
        waiting = received.waiting
        is_orphan = not waiting.file.startswith("incoming/")
        is_in_place = waiting.file.startswith("instances/")
        if is_in_place and waiting.path.stem == str(waiting.instance_id):
            target = waiting.file
        else:
            target = instance_file(waiting.instance_id, received.received_at.date())
        stored = replace(received.stored, file=target)
        self._new_instances.add(waiting.instance_id)
        self._recorded[waiting.instance_id] = target
        self._instances[received.sop_instance_uid] = KnownFile(
            waiting.instance_id,
            target,
            stored.sha256,
            stored.data_set_sha256,
            received.transfer_syntax_uid,
        )
        arrival = StoredInstance(
            waiting.instance_id,
            received.received,
            stored,
            received.received_at,
            received.complete_at,
            received.stable_after,
            is_orphan,
        )
        return _Step(waiting, StoreOutcome.STORED, arrival, target)

    def _is_same(self, known: KnownFile, received: ReceivedFile, *, is_lost: bool) -> bool:
        if known.transfer_syntax_uid != received.transfer_syntax_uid:
            return False
        return self._has_same_data_set(known, received, is_lost=is_lost)

    def _has_same_data_set(
        self, known: KnownFile, received: ReceivedFile, *, is_lost: bool
    ) -> bool:
        if known.data_set_sha256 is not None:
            return known.data_set_sha256 == received.stored.data_set_sha256
        if is_lost:  # received by an earlier version: only its whole file is known
            return known.sha256 == received.stored.sha256
        try:
            return has_data_set_of(self._path(known), received.waiting.path)
        except DicomError:  # the file in the store is damaged
            return False

    def _conflict(self, known: KnownFile, received: ReceivedFile) -> _Step:
        waiting = received.waiting
        earlier = [*self._find_conflicts(known.instance_id), *self._new_conflicts]
        is_known = any(
            other.instance_id == known.instance_id
            and self._has_same_data_set(other, received, is_lost=not self._path(other).exists())
            for other in earlier
        )
        target = "" if is_known else conflict_file(waiting.instance_id)
        stored = None if is_known else replace(received.stored, file=target)
        arrival = ConflictingInstance(
            known.instance_id,
            waiting.instance_id,
            received.received.sender,
            received.received_at,
            stored,
        )
        if stored is not None:
            self._new_conflicts.append(
                KnownFile(known.instance_id, target, stored.sha256, stored.data_set_sha256)
            )
        logger.warning("instance %s was received again with other bytes", known.instance_id)
        return _Step(waiting, StoreOutcome.CONFLICT, arrival, target)

    def _path(self, known: KnownFile) -> Path:
        return self._files.path(known.file)


def _describe_incoming(files: FileStore, names: Iterable[str]) -> list[WaitingFile]:
    waiting = []
    for name in names:
        parsed = IncomingName.parse(name)
        path = files.incoming / name
        waiting.append(WaitingFile(path, f"incoming/{name}", parsed.instance_id, parsed.size_bytes))
    return waiting


def _try_read(waiting: WaitingFile, now: datetime) -> ReceivedFile | Exception | None:
    """Return the file, the error that sends it to quarantine, or None if it is gone."""
    try:
        return read_received_file(waiting, now)
    except FileNotFoundError:
        return None
    except DicomError as error:
        return error
    except OSError as error:
        if error.errno in _DAMAGED_FILE:
            return error
        raise


def _concerns_one_file(error: Exception) -> bool:
    """Whether other files could become rows: not if the database is away or the disk full."""
    if isinstance(error, SQLAlchemyError):
        if isinstance(error, DBAPIError):
            return isinstance(error, DataError | IntegrityError)
        return isinstance(error, StatementError)  # a value that does not fit its column's type
    return not isinstance(error, OSError | MemoryError)


def _list_files(directory: Path) -> Iterator[Path]:
    """Yield the DICOM files below a directory in the order of their names."""
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            yield from _list_files(path)
        elif path.suffix == ".dcm":
            yield path


def _in_batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for path in paths:
        batch.append(path)
        if len(batch) == BATCH_FILES:
            yield batch
            batch = []
    if batch:
        yield batch


def _parse_id(stem: str) -> UUID:
    """Return the ID in the name of a stored file, or a new one if it has none."""
    try:
        parsed = UUID(stem)
    except ValueError:
        return uuid4()
    return parsed if str(parsed) == stem else uuid4()


def _link_or_replace(source: Path, target: Path, spool: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileExistsError:
        if not target.samefile(source):  # a copy, as a backup restores it
            temporary = spool / f"{uuid4()}.part"
            temporary.hardlink_to(source)
            temporary.replace(target)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _describe_error(error: Exception) -> str:
    """Return the kind of an error without its text, which may quote the data set."""
    if isinstance(error, OSError):
        return "unreadable-file"
    return "invalid-values" if isinstance(error, SQLAlchemyError | ValueError) else "unexpected"
