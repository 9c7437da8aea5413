"""Recover files without a row, which a crash between rename and commit left behind.

Their senders received no Success but may not send them again. Each file is therefore stored as if
it had just been received, with an unknown sender. A file that is not a complete DICOM object moves
to ``quarantine``.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import select, union_all

from db.audit_tags import AuditTag
from db.engine import Database
from db.files import FileStore
from db.intake import Sender
from db.routes import Source
from db.schema import Conflict, Instance
from dicom.errors import DicomError
from listener.attributes import build_received
from listener.events import EventRecorder
from listener.part10 import read_complete_header
from listener.storage import InstanceStorage

logger = logging.getLogger(__name__)

QUARANTINED: Final = "quarantined"
_UNKNOWN_SENDER: Final = Sender("", "")
_STABLE_AFTER: Final = timedelta(seconds=Source.model_fields["stable_after_seconds"].default)
_BATCH_SIZE: Final = 500


class OrphanRecovery:
    """Recovers orphans. May run beside a listener and beside other recoveries."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        storage: InstanceStorage,
        events: EventRecorder,
    ) -> None:
        self._database = database
        self._files = files
        self._storage = storage
        self._events = events
        self._recovered_until = 0.0

    def recover(self, *, untouched_since: datetime, now: datetime) -> Counter[str]:
        """Recover all orphans last written before ``untouched_since``.

        Younger files may be about to get their row. A later call only considers files written after
        the ``untouched_since`` of this one. Returns the number of orphans by outcome.

        Raises:
            OSError, SQLAlchemyError: Disk or database failed. Call again later.
        """
        outcomes: Counter[str] = Counter()
        for path in self._find_orphans(untouched_since.timestamp()):
            try:
                outcomes[self._recover_file(path, now)] += 1
            except FileNotFoundError:  # another listener recovered it first
                continue
            self._events.flush()
        self._recovered_until = untouched_since.timestamp()
        return outcomes

    def _find_orphans(self, before: float) -> Iterator[Path]:
        batch: list[Path] = []
        for folder in ("instances", "conflicts"):
            for path in (self._files.root / folder).rglob("*.dcm"):
                if self._recovered_until <= path.stat().st_mtime < before:
                    batch.append(path)
                if len(batch) == _BATCH_SIZE:
                    yield from self._select_without_row(batch)
                    batch = []
        yield from self._select_without_row(batch)

    def _select_without_row(self, paths: Sequence[Path]) -> list[Path]:
        files = {path.relative_to(self._files.root).as_posix(): path for path in paths}
        query = union_all(
            *(select(table.file).where(table.file.in_(files)) for table in (Instance, Conflict))
        )
        with self._database.read() as session:
            known = set(session.scalars(query))
        return [path for file, path in files.items() if file not in known]

    def _recover_file(self, path: Path, now: datetime) -> str:
        file = path.relative_to(self._files.root).as_posix()
        try:
            received = build_received(read_complete_header(path), _UNKNOWN_SENDER)
        except DicomError as error:
            self._quarantine(path, file, error)
            return QUARANTINED
        result = self._storage.store(path, received, stable_after=_STABLE_AFTER, now=now)
        logger.warning(
            "recovered file %s without a row: %s as %s", file, result.outcome, result.instance_id
        )
        self._events.record(
            AuditTag.ORPHAN_SETTLED,
            _UNKNOWN_SENDER,
            f"orphan:{result.outcome}",
            file=file,
            instance_id=result.instance_id,
            outcome=result.outcome,
        )
        return result.outcome

    def _quarantine(self, path: Path, file: str, error: DicomError) -> None:
        target = self._files.root / "quarantine" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        logger.error("moved file %s without a row to quarantine: %s", file, error.code)
        self._events.record(
            AuditTag.ORPHAN_SET_ASIDE,
            _UNKNOWN_SENDER,
            f"orphan:{QUARANTINED}",
            file=file,
            code=error.code,
        )
