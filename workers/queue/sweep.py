"""The sweep, which dispatches jobs that are due, and the heartbeat of running jobs."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from db import jobs
from db.incoming import measure_backlog
from db.schema import JobKind
from db.types import now_utc
from workers.errors import describe_error
from workers.jobs.handler import JobFailure, JobHandler
from workers.queue.broker import BrokerUnavailable
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.services import WorkerServices

logger = logging.getLogger(__name__)


class Broker(Protocol):
    """What the sweep uses of `workers.queue.broker.CeleryBroker`."""

    def dispatch(self, job_id: UUID, kind: JobKind) -> None: ...

    def is_available(self) -> bool: ...


class Sweep:
    """Dispatches the jobs that are due. Every worker sweeps; `SKIP LOCKED` keeps them apart.

    A worker dispatches only as many jobs as it has free slots, although any worker may run them:
    so messages do not pile up in Redis, however long the queue is.
    """

    def __init__(
        self,
        services: WorkerServices,
        broker: Broker,
        slots: ConcurrencySlots,
        handlers: Mapping[JobKind, JobHandler],
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._services = services
        self._broker = broker
        self._slots = slots
        self._handlers = handlers
        self._clock = clock
        self._broker_down = False

    def __call__(self) -> None:
        now = self._clock()
        while self._dead_letter_one(now):
            pass
        if self._broker_down and not self._broker.is_available():
            return
        due = self._take_due(now)
        try:
            while due:
                self._broker.dispatch(*due[0])
                del due[0]
                self._note_broker(down=False)
        except BrokerUnavailable:
            self._note_broker(down=True)
            with self._services.database.write() as session:
                for job_id, _ in due:
                    jobs.release(session, job_id, now)

    def _dead_letter_one(self, now: datetime) -> bool:
        """Give up one job per transaction, which locks its study and then the audit chain."""
        with self._services.database.write() as session:
            for job in jobs.dead_letter_expired(session, now, limit=1):
                failure = JobFailure(job.error, given_up=True)
                self._handlers[job.kind].on_failure(session, job, failure, now)
                return True
        return False

    def _take_due(self, now: datetime) -> list[tuple[UUID, JobKind]]:
        """Commit before the first dispatch: a worker may claim a job before this sweep ends."""
        due: list[tuple[UUID, JobKind]] = []
        # after `now`, so that every file that was stored before a job was due is seen
        indexed_until = measure_backlog(self._services.store).oldest_at
        redispatch_after = self._services.settings.redispatch_after
        with self._services.database.write() as session:
            for kinds, free in self._slots.free().items():
                if free > 0:
                    due += jobs.take_due(
                        session,
                        now,
                        free,
                        kinds=kinds,
                        redispatch_after=redispatch_after,
                        indexed_until=indexed_until,
                    )
        return due

    def _note_broker(self, *, down: bool) -> None:
        """Log when Redis stops answering, and when it answers again."""
        if down and not self._broker_down:
            logger.error("Redis does not answer: jobs wait in the database until it does")
        elif self._broker_down and not down:
            logger.info("Redis answers again")
        self._broker_down = down


class Heartbeat:
    """Extends the leases of the jobs that run in this process."""

    def __init__(
        self,
        services: WorkerServices,
        leases: ActiveLeases,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._services = services
        self._leases = leases
        self._clock = clock

    def __call__(self) -> None:
        if len(self._leases) > 0:
            with self._services.database.write() as session:
                self._leases.extend(session, self._clock())


class PeriodicThread:
    """A thread that repeats an action until it is stopped. Errors do not end it."""

    def __init__(self, name: str, interval_seconds: float, action: Callable[[], None]) -> None:
        self._interval_seconds = interval_seconds
        self._action = action
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Run the action now, or again if it is running."""
        self._wake.set()

    def stop(self) -> None:
        """Start no further run. Returns at once, so that signal handlers can call it."""
        self._stopped.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for the last run to end."""
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while not self._stopped.is_set():
            failing = self._run_once(failing)
            self._wake.wait(self._interval_seconds)
            self._wake.clear()

    def _run_once(self, failing: bool) -> bool:
        """Return whether the action failed. Log only the first failure and the recovery."""
        try:
            self._action()
        except Exception as error:  # noqa: BLE001  the database may be down for a while
            if not failing:
                logger.error("%s is failing: %s", self._thread.name, describe_error(error))
            return True
        if failing:
            logger.info("%s has recovered", self._thread.name)
        return False
