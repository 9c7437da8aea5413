"""Run the indexer as a process. One works on a store; others wait to take over."""

import fcntl
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import IO, Final

from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.files import FileStore
from db.incoming import Backlog, measure_backlog
from db.settings import StoreSettings
from db.types import now_utc
from listener.errors import IndexerRunning, locate
from listener.indexer import BATCH_FILES, MOVED, Indexer

logger = logging.getLogger(__name__)

LOCK_NAME: Final = "indexer.lock"
_STANDBY_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.2
"""Between two batches, unless one was full. The flushes of many small batches delay those of the
listener, on which its senders wait."""
_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 15.0
_UPKEEP_SECONDS: Final = 5.0
_SPOOL_AGE_SECONDS: Final = 10.0
"""Longer than a listener takes from the last byte of a file to its publication."""
_ABORTED_AGE_SECONDS: Final = 3600.0
"""Longer than a sender may pause within a transfer: see ``dicom_network_timeout_seconds``."""
_BACKLOG_LOG_SECONDS: Final = 60.0


def run(settings: StoreSettings) -> None:
    """Index files until SIGTERM or SIGINT, then finish the batch in hand."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    files = settings.file_store()
    files.prepare()
    is_standby = False
    while not stop.is_set():
        try:
            with lock_store(files):
                _index(settings, files, stop)
        except IndexerRunning:
            if not is_standby:
                logger.info("another indexer works on %s: waiting as standby", files.root)
                is_standby = True
            stop.wait(_STANDBY_SECONDS)
    logger.info("stopped")


def _index(settings: StoreSettings, files: FileStore, stop: Event) -> None:
    database = Database(settings.effective_database_url)
    try:
        with Indexer(database, files) as indexer:
            IndexLoop(indexer, files, settings.backlog_warning_files).run(stop)
    finally:
        database.close()


@contextmanager
def lock_store(files: FileStore) -> Iterator[None]:
    """Hold the lock of the indexer on a store until the block ends.

    Raises:
        IndexerRunning: Another process holds it.
    """
    with (files.root / LOCK_NAME).open("a") as lock:
        if not _try_lock(lock):
            raise IndexerRunning
        yield


def _try_lock(lock: IO[str]) -> bool:
    for _ in range(5):  # `is_running` holds the lock for an instant too
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False


def is_running(files: FileStore) -> bool:
    """Whether an indexer works on a store."""
    try:
        with (files.root / LOCK_NAME).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class IndexLoop:
    """Indexes new files and those that a crash left behind, and waits while it cannot."""

    def __init__(self, indexer: Indexer, files: FileStore, backlog_warning_files: int) -> None:
        self._indexer = indexer
        self._files = files
        self._backlog_log = BacklogLog(backlog_warning_files)
        self._upkeep_at = 0.0
        self._without_row: Iterator[Counter[str]] | None = None

    def run(self, stop: Event) -> None:
        """Index until `stop` is set."""
        logger.info("indexing %s", self._files.root)
        backoff = _FIRST_BACKOFF_SECONDS
        is_failing = False
        self._without_row = self._indexer.index_files_without_row()
        while not stop.is_set():
            try:
                is_busy = self._index(stop)
            except Exception as error:  # noqa: BLE001  nothing may end the indexer
                self._report_failure(error, is_first=not is_failing)
                is_failing = True
                self._without_row = self._indexer.index_files_without_row()
                stop.wait(backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)
                continue
            if is_failing:
                logger.info("indexing continues")
            is_failing, backoff = False, _FIRST_BACKOFF_SECONDS
            if not is_busy:
                stop.wait(_PAUSE_SECONDS)

    def _index(self, stop: Event) -> bool:
        """Index what waits now, and some of the files without a row.

        Returns whether there is more to do at once.
        """
        is_busy = False
        for outcomes in self._indexer.index_incoming():
            _log_outcomes(outcomes)
            is_busy = outcomes.total() == BATCH_FILES
            if stop.is_set():
                return True
            self._watch_backlog()
        self._watch_backlog()
        if time.monotonic() >= self._upkeep_at:
            self._keep_up()
            self._upkeep_at = time.monotonic() + _UPKEEP_SECONDS
        if self._without_row is None:
            return is_busy
        outcomes_of_orphans = next(self._without_row, None)
        if outcomes_of_orphans is None:
            self._without_row = None
            return is_busy
        _log_outcomes(outcomes_of_orphans)
        return True

    def _keep_up(self) -> None:
        now = time.time()
        if recovered := self._indexer.recover_spool(now - _SPOOL_AGE_SECONDS):
            logger.warning("%d complete files were left in the spool", recovered)
        if removed := self._files.remove_stale_spool_files(now - _ABORTED_AGE_SECONDS):
            logger.info("removed %d files of aborted transfers", removed)

    def _watch_backlog(self) -> None:
        if self._backlog_log.is_due():
            self._backlog_log.report(measure_backlog(self._files))

    def _report_failure(self, error: Exception, *, is_first: bool) -> None:
        """Log the first failure, and every minute how many files wait."""
        what = "database" if isinstance(error, SQLAlchemyError) else "file store"
        if not isinstance(error, SQLAlchemyError | OSError):
            logger.error("indexing failed: %s", locate(error))
        elif is_first:
            logger.error("the %s is not available: %s", what, type(error).__name__)
        if is_first or self._backlog_log.is_due():
            try:
                backlog = measure_backlog(self._files)
            except OSError:
                return
            self._backlog_log.report(backlog, is_waiting=True)


class BacklogLog:
    """Logs the backlog when it grows past a number of files, and when it is worked off."""

    def __init__(self, warning_files: int) -> None:
        self._warning_files = warning_files
        self._due_at = 0.0
        self._is_long = False

    def is_due(self) -> bool:
        """Whether the backlog should be measured again."""
        return time.monotonic() >= self._due_at

    def report(self, backlog: Backlog, *, is_waiting: bool = False) -> None:
        """Log a backlog that is long or waits for the database, once in a while."""
        text = backlog.describe(now_utc())
        is_long = backlog.files >= self._warning_files
        if is_long or (is_waiting and backlog.files):
            logger.warning("the indexer is behind: %s", text)
        elif self._is_long:
            logger.info("the indexer has caught up: %s", text)
        self._is_long = is_long
        seconds = _BACKLOG_LOG_SECONDS if is_long or is_waiting else _UPKEEP_SECONDS
        self._due_at = time.monotonic() + seconds


def _log_outcomes(outcomes: Counter[str]) -> None:
    kinds = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    if kinds:
        level = logging.WARNING if outcomes[MOVED] else logging.INFO
        logger.log(level, "indexed %d files: %s", outcomes.total(), kinds)
