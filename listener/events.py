"""Record audit events of the listener and counts for each sender, in sums."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import ACTOR, Sender, count_event
from db.types import now_utc

logger = logging.getLogger(__name__)

WRITE_INTERVAL_SECONDS: Final = 1.0
SUM_INTERVAL_SECONDS: Final = 60.0
"""After the first event of a kind, further ones of the same kind are written once in this time."""
MAX_SENDERS: Final = 1000
"""Senders that are told apart. Peers with invented AE titles beyond are counted together."""
MAX_SUMS: Final = 5000
OTHER_SENDERS: Final = Sender("", "")


@dataclass
class _Sum:
    """Equal events since the last time that they were written."""

    sender: Sender
    count_as: str
    tag: AuditTag | None
    details: dict[str, Any] = field(default_factory=dict)
    times: int = 0
    due_at: float = 0.0
    """Monotonic time; the first event of a kind is due at once."""


class EventRecorder:
    """Collects events in memory; `run` writes them from a thread of its own.

    No caller waits for the database, and no peer makes it grow by repeating what is refused: equal
    events become one audit event that says how many they were. While the database is down they
    stay in memory, where their number is limited.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._writing = Lock()
        self._sums: dict[tuple[str, ...], _Sum] = {}
        self._senders: set[Sender] = set()
        self._lost = 0

    def record(self, tag: AuditTag, sender: Sender, count_as: str, **details: Any) -> bool:
        """Add an audit event and increase the sender's count of `count_as`.

        Returns whether it is the first of its kind for a minute, which is worth a log line.
        """
        return self._add(tag, sender, count_as, details)

    def count(self, sender: Sender, count_as: str) -> bool:
        """Increase the sender's count of `count_as` only. Returns the same as `record`."""
        return self._add(None, sender, count_as, {})

    def run(self, stop: Event) -> None:
        """Write what is due every second until `stop` is set."""
        while not stop.wait(WRITE_INTERVAL_SECONDS):
            self.write_due()
        self.flush()

    def write_due(self) -> None:
        """Write the sums that are due. They are kept if the database is down."""
        now = time.monotonic()
        self._write(lambda entry: entry.due_at <= now)
        with self._lock:  # what did not happen again
            self._forget(lambda entry: not entry.times and entry.due_at <= now)

    def flush(self) -> None:
        """Write all sums now."""
        self._write(lambda _: True)

    def _add(
        self, tag: AuditTag | None, sender: Sender, count_as: str, details: dict[str, Any]
    ) -> bool:
        with self._lock:
            if sender not in self._senders:
                if len(self._senders) >= MAX_SENDERS:
                    sender = OTHER_SENDERS
                self._senders.add(sender)
            key = (tag or "", sender.calling_ae, sender.address, count_as, _to_text(details))
            entry = self._sums.get(key)
            is_first = entry is None
            if entry is None:
                if len(self._sums) >= MAX_SUMS:
                    self._forget(lambda old: not old.times)
                if len(self._sums) >= MAX_SUMS:
                    self._lost += 1
                    return False
                entry = self._sums[key] = _Sum(sender, count_as, tag, details)
            entry.times += 1
            return is_first

    def _forget(self, is_over: Callable[[_Sum], bool]) -> None:
        self._sums = {key: entry for key, entry in self._sums.items() if not is_over(entry)}

    def _write(self, is_due: Callable[[_Sum], bool]) -> None:
        with self._writing:
            with self._lock:
                taken = {
                    key: replace(entry)
                    for key, entry in self._sums.items()
                    if entry.times and is_due(entry)
                }
                lost = self._lost
            if not taken:
                return
            try:
                with self._database.write() as session:
                    for entry in taken.values():
                        _write_sum(session, entry)
            except SQLAlchemyError as error:
                logger.error(
                    "%d kinds of events could not be recorded yet: %s",
                    len(taken),
                    type(error).__name__,
                )
                return
            with self._lock:
                self._lost -= lost
                for key, written in taken.items():
                    entry = self._sums[key]  # it has not been forgotten: it was not written yet
                    entry.times -= written.times
                    entry.due_at = time.monotonic() + SUM_INTERVAL_SECONDS
        for entry in taken.values():
            if entry.times > 1:
                logger.warning(
                    "%s: %s: %d times", describe(entry.sender), entry.count_as, entry.times
                )
        if lost:
            logger.error("%d events were not recorded: there were too many kinds of them", lost)


def describe(sender: Sender) -> str:
    """Return a sender's AE title and address for a log line."""
    return f"{sender.calling_ae or '(no AE title)'} at {sender.address}"


def _write_sum(session: Session, entry: _Sum) -> None:
    now = now_utc()
    if entry.tag is not None:
        details = entry.details | ({"times": entry.times} if entry.times > 1 else {})
        audit.append(
            session,
            entry.tag,
            actor=ACTOR,
            now=now,
            calling_ae=entry.sender.calling_ae,
            address=entry.sender.address,
            **details,
        )
    count_event(session, entry.sender, entry.count_as, now, times=entry.times)


def _to_text(details: dict[str, Any]) -> str:
    return json.dumps(details, sort_keys=True, default=str)
