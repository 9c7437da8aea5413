"""Files without a row: what a crash between rename and commit left behind.

Nobody was told Success for them, but a sender may have given up by now. So each is stored as if it
came in again, its sender unknown; what we hold already goes, and what is no whole DICOM object is
set aside under ``lost+found`` for a person to look at.
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
from listener import facts
from listener.journal import Journal
from listener.keeper import Keeper
from listener.part10 import read_whole

logger = logging.getLogger(__name__)

UNKNOWN: Final = Sender("", "")
SET_ASIDE: Final = "set-aside"
_STABLE_AFTER: Final = timedelta(seconds=Source.model_fields["stable_after_seconds"].default)
_BATCH: Final = 500


class Reconciler:
    """Settles orphans; safe beside a running listener, and beside another reconciler."""

    def __init__(
        self, database: Database, files: FileStore, keeper: Keeper, journal: Journal
    ) -> None:
        self._database = database
        self._files = files
        self._keeper = keeper
        self._journal = journal
        self._settled_until = 0.0

    def settle(self, *, untouched_since: datetime, now: datetime) -> Counter[str]:
        """Settle every orphan last written before ``untouched_since``: younger ones may be on
        their way to a row. Returns how many came to each outcome. A second round looks only at
        what was written after the first one's limit.

        Raises:
            OSError, SQLAlchemyError: disk or database failed; settle again later.
        """
        tally: Counter[str] = Counter()
        for path in self._orphans(untouched_since.timestamp()):
            try:
                tally[self._settle_one(path, now)] += 1
            except FileNotFoundError:  # another listener was faster
                continue
        self._settled_until = untouched_since.timestamp()
        return tally

    def _orphans(self, before: float) -> Iterator[Path]:
        batch: list[Path] = []
        for folder in ("instances", "conflicts"):
            for path in (self._files.root / folder).rglob("*.dcm"):
                if self._settled_until <= path.stat().st_mtime < before:
                    batch.append(path)
                if len(batch) == _BATCH:
                    yield from self._without_row(batch)
                    batch = []
        yield from self._without_row(batch)

    def _without_row(self, paths: Sequence[Path]) -> list[Path]:
        files = {path.relative_to(self._files.root).as_posix(): path for path in paths}
        query = union_all(
            *(select(table.file).where(table.file.in_(files)) for table in (Instance, Conflict))
        )
        with self._database.read() as session:
            known = set(session.scalars(query))
        return [path for file, path in files.items() if file not in known]

    def _settle_one(self, path: Path, now: datetime) -> str:
        file = path.relative_to(self._files.root).as_posix()
        try:
            received = facts.received_from(read_whole(path), UNKNOWN)
        except DicomError as error:
            return self._set_aside(path, file, error)
        kept = self._keeper.keep(path, received, stable_after=_STABLE_AFTER, now=now)
        logger.warning("file %s had no row: %s as %s", file, kept.outcome, kept.instance_id)
        self._journal.note(
            AuditTag.ORPHAN_SETTLED,
            UNKNOWN,
            f"orphan:{kept.outcome}",
            file=file,
            instance_id=kept.instance_id,
            outcome=kept.outcome,
        )
        return kept.outcome

    def _set_aside(self, path: Path, file: str, error: DicomError) -> str:
        target = self._files.root / "lost+found" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        logger.error("file %s had no row and was moved to lost+found: %s", file, error.code)
        self._journal.note(
            AuditTag.ORPHAN_SET_ASIDE, UNKNOWN, f"orphan:{SET_ASIDE}", file=file, code=error.code
        )
        return SET_ASIDE
