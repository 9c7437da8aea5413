"""How many jobs of which kind this process may do at a time, and which ones it holds."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from db import jobs
from db.jobs import Claim
from db.schema import JobKind

logger = logging.getLogger(__name__)

ANALYSES: Final = (JobKind.ANALYZE,)
SHADOWS: Final = (JobKind.SHADOW,)
THE_REST: Final = tuple(kind for kind in JobKind if kind not in ANALYSES + SHADOWS)


class ConcurrencySlots:
    """Two lanes share the threads of a process: analyses, which take minutes of processor time,
    and the rest, which mostly waits for a network. Neither ever waits for the other. Shadows have
    ``shadows`` further threads of their own.
    """

    def __init__(self, threads: int, analyses: int, shadows: int = 0) -> None:
        self._free = {ANALYSES: analyses, THE_REST: threads - analyses, SHADOWS: shadows}
        self._lock = threading.Lock()

    def free(self) -> dict[tuple[JobKind, ...], int]:
        """Free slots by the kinds of jobs they are for."""
        with self._lock:
            return dict(self._free)

    @contextmanager
    def taken(self, kind: JobKind) -> Iterator[bool]:
        """A hand for a job of this kind; False when none is free."""
        lane = next(lane for lane in self._free if kind in lane)
        with self._lock:
            got = self._free[lane] > 0
            self._free[lane] -= got
        try:
            yield got
        finally:
            with self._lock:
                self._free[lane] += got


@dataclass(frozen=True)
class _Hold:
    claim: Claim
    since: datetime


class ActiveLeases:
    """The claims of this process, kept alive for as long as their jobs may reasonably run."""

    def __init__(self, lease: timedelta, at_most: timedelta) -> None:
        self._lease = lease
        self._at_most = at_most
        self._holds: dict[UUID, _Hold] = {}
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, claim: Claim, since: datetime) -> Iterator[None]:
        with self._lock:
            self._holds[claim.job_id] = _Hold(claim, since)
        try:
            yield
        finally:
            with self._lock:
                self._holds.pop(claim.job_id, None)

    def beat(self, session: Session, now: datetime) -> None:
        """Extend every claim but those of jobs that hang: their leases run out."""
        with self._lock:
            holds = list(self._holds.values())
        for hold in holds:
            if now - hold.since > self._at_most:
                logger.error("job %s hangs: another worker may take it", hold.claim.job_id)
                self._let_go(hold)
            elif not jobs.extend(session, hold.claim, now, lease=self._lease):
                self._let_go(hold)  # finished a moment ago, or taken over

    def any(self) -> bool:
        return bool(self._holds)

    def _let_go(self, hold: _Hold) -> None:
        with self._lock:
            if self._holds.get(hold.claim.job_id) is hold:
                del self._holds[hold.claim.job_id]
