"""Looks for jobs that are due and rings for them; keeps the claims of this process alive."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from db import jobs
from db.schema import JobKind
from db.types import now_utc
from workers.errors import describe_error
from workers.jobs.handler import Failure, JobHandler
from workers.queue.broker import BrokerUnavailable
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.services import Services

logger = logging.getLogger(__name__)


class Broker(Protocol):
    """What the sweep needs of `workers.queue.broker.CeleryBroker`."""

    def ring(self, job_id: UUID, kind: JobKind) -> None: ...

    def answers(self) -> bool: ...


class Sweep:
    """One look at the queue. Every worker sweeps; `SKIP LOCKED` keeps them apart.

    A worker rings only for as many jobs as it has slots free, whoever then answers: so messages
    never pile up in Redis, however long the queue is.
    """

    def __init__(
        self,
        services: Services,
        broker: Broker,
        slots: ConcurrencySlots,
        job_handlers: Mapping[JobKind, JobHandler],
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._services = services
        self._broker = broker
        self._slots = slots
        self._job_handlers = job_handlers
        self._clock = clock
        self._silent = False

    def __call__(self) -> None:
        now = self._clock()
        while self._bury_one(now):
            pass
        if self._silent and not self._broker.answers():
            return
        due = self._take(now)
        try:
            while due:
                self._broker.ring(*due[0])
                del due[0]
                self._hear()
        except BrokerUnavailable:
            self._give_back([job_id for job_id, _ in due], now)

    def _bury_one(self, now: datetime) -> bool:
        """One in a transaction: it locks its study and then the audit chain, in this order."""
        with self._services.database.write() as session:
            for job in jobs.dead_letter_lost(session, now, limit=1):
                failure = Failure(job.error, given_up=True)
                self._job_handlers[job.kind].failed(session, job, failure, now)
                return True
        return False

    def _take(self, now: datetime) -> list[tuple[UUID, JobKind]]:
        """Committed before anything rings: a worker may answer before this function returns."""
        with self._services.database.write() as session:
            return list(self._due(session, now))

    def _due(self, session: Session, now: datetime) -> Iterator[tuple[UUID, JobKind]]:
        redispatch_after = self._services.settings.redispatch_after
        for kinds, free in self._slots.free().items():
            if free > 0:
                yield from jobs.take_due(
                    session, now, free, kinds=kinds, redispatch_after=redispatch_after
                )

    def _hear(self) -> None:
        if self._silent:
            logger.info("Redis answers again")
        self._silent = False

    def _give_back(self, job_ids: Sequence[UUID], now: datetime) -> None:
        if not self._silent:
            logger.error("Redis does not answer: jobs wait in the database until it does")
        self._silent = True
        with self._services.database.write() as session:
            for job_id in job_ids:
                jobs.release(session, job_id, now)


class Heartbeat:
    """Signs of life for the jobs that run here."""

    def __init__(
        self, services: Services, held: ActiveLeases, clock: Callable[[], datetime] = now_utc
    ) -> None:
        self._services = services
        self._leases = held
        self._clock = clock

    def __call__(self) -> None:
        if self._leases.any():
            with self._services.database.write() as session:
                self._leases.beat(session, self._clock())


class Loop:
    """A thread that does something again and again until it is stopped; errors do not end it."""

    def __init__(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Do it now."""
        self._wake.set()

    def stop(self) -> None:
        """No further round. Does not wait for the present one: signal handlers call this."""
        self._stopped.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for the last round."""
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while not self._stopped.is_set():
            failing = self._round(failing)
            self._wake.wait(self._seconds)
            self._wake.clear()

    def _round(self, failing: bool) -> bool:
        """Do it once; tell when that begins to fail, and when it job_handlers again."""
        try:
            self._action()
        except Exception as error:  # noqa: BLE001  the database may be gone for a while
            if not failing:
                logger.error("the %s fails for now: %s", self._thread.name, describe_error(error))
            return True
        if failing:
            logger.info("the %s job_handlers again", self._thread.name)
        return False
