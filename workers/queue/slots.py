"""Concurrency slots and active leases of one worker process."""

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

ANALYSIS_KINDS: Final = (JobKind.ANALYZE,)
SHADOW_KINDS: Final = (JobKind.SHADOW,)
OTHER_KINDS: Final = tuple(kind for kind in JobKind if kind not in ANALYSIS_KINDS + SHADOW_KINDS)


class ConcurrencySlots:
    """The threads of a process, divided by job kind so that kinds never wait for each other.

    Of ``threads``, ``analyses`` run analyses, which use the processor for minutes. The others run
    the remaining kinds, which mostly wait for a network. Shadow analyses have ``shadows`` threads
    of their own.
    """

    def __init__(self, threads: int, analyses: int, shadows: int = 0) -> None:
        self._free = {
            ANALYSIS_KINDS: analyses,
            OTHER_KINDS: threads - analyses,
            SHADOW_KINDS: shadows,
        }
        self._lock = threading.Lock()

    def free(self) -> dict[tuple[JobKind, ...], int]:
        """Return the number of free slots by the job kinds that they are for."""
        with self._lock:
            return dict(self._free)

    @contextmanager
    def acquire(self, kind: JobKind) -> Iterator[bool]:
        """Occupy a slot for a job of this kind. Yields False if none is free."""
        kinds = next(kinds for kinds in self._free if kind in kinds)
        with self._lock:
            acquired = self._free[kinds] > 0
            self._free[kinds] -= acquired
        try:
            yield acquired
        finally:
            with self._lock:
                self._free[kinds] += acquired


@dataclass(frozen=True)
class _Lease:
    claim: Claim
    since: datetime


class ActiveLeases:
    """The leases of the jobs that run in this process."""

    def __init__(self, lease: timedelta, job_timeout: timedelta) -> None:
        self._lease = lease
        self._job_timeout = job_timeout
        self._leases: dict[UUID, _Lease] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._leases)

    @contextmanager
    def track(self, claim: Claim, since: datetime) -> Iterator[None]:
        """Include the claim in heartbeats while its job runs."""
        with self._lock:
            self._leases[claim.job_id] = _Lease(claim, since)
        try:
            yield
        finally:
            with self._lock:
                self._leases.pop(claim.job_id, None)

    def extend(self, session: Session, now: datetime) -> None:
        """Extend every lease except those of jobs that run longer than the job timeout."""
        with self._lock:
            leases = list(self._leases.values())
        for lease in leases:
            if now - lease.since > self._job_timeout:
                logger.error("job %s timed out: another worker may claim it", lease.claim.job_id)
                self._drop(lease)
            elif not jobs.extend(session, lease.claim, now, lease=self._lease):
                self._drop(lease)  # just finished, or claimed by another worker

    def _drop(self, lease: _Lease) -> None:
        with self._lock:
            if self._leases.get(lease.claim.job_id) is lease:
                del self._leases[lease.claim.job_id]
