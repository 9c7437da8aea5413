"""Running one job, from its claim to its end."""

import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from db import jobs
from db.errors import LostClaim
from db.jobs import Claim
from db.schema import Job, JobKind, JobStatus
from db.types import now_utc
from workers.errors import ClassifiedError, Postponed, describe_error, is_disk_full, is_permanent
from workers.jobs.analyze import AnalyzeHandler
from workers.jobs.deliver import DeliverHandler
from workers.jobs.handler import JobFailure, JobHandler
from workers.jobs.publish import PublishHandler
from workers.jobs.shadow import ShadowHandler
from workers.jobs.sign import SignHandler
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.services import WorkerServices

logger = logging.getLogger(__name__)

_REDISPATCH_WHEN_FULL: Final = timedelta(seconds=1)
"""When a job is due again that found no free slot here."""


def job_handlers(services: WorkerServices) -> Mapping[JobKind, JobHandler]:
    """Return the handler of each job kind."""
    return {
        JobKind.ANALYZE: AnalyzeHandler(services),
        JobKind.PUBLISH: PublishHandler(services),
        JobKind.DELIVER: DeliverHandler(services),
        JobKind.SIGN: SignHandler(services),
        JobKind.SHADOW: ShadowHandler(services),
    }


class JobRunner:
    """Runs jobs by id, from any thread."""

    def __init__(
        self,
        services: WorkerServices,
        handlers: Mapping[JobKind, JobHandler],
        slots: ConcurrencySlots,
        leases: ActiveLeases,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._services = services
        self._handlers = handlers
        self._slots = slots
        self._leases = leases
        self._clock = clock

    def run(self, job_id: UUID, kind: JobKind) -> None:
        """Run the job unless another worker has it or no slot is free. Never raises."""
        try:
            with self._slots.acquire(kind) as acquired:
                if acquired:
                    self._claim_and_run(job_id)
                    return
            with self._services.database.write() as session:
                jobs.release(session, job_id, self._clock() + _REDISPATCH_WHEN_FULL)
        except Exception as error:  # noqa: BLE001  the lease expires and another worker runs it
            logger.error("job %s: %s%s", job_id, describe_error(error), _traceback(error))

    def _claim_and_run(self, job_id: UUID) -> None:
        now = self._clock()
        with self._services.database.write() as session:
            claim = jobs.claim(session, job_id, now, lease=self._services.settings.lease)
        if claim is None:  # a duplicate or late message
            return
        with self._leases.track(claim, now):
            self._run(claim, now)

    def _run(self, claim: Claim, now: datetime) -> None:
        logger.info("job %s (%s) started, attempt %d", claim.job_id, claim.kind, claim.attempt)
        try:
            save_result = self._handlers[claim.kind].handle(claim, now)
            now = self._clock()
            with self._services.database.write() as session:
                jobs.finish(session, claim, now)
                save_result(session, now)
        except LostClaim:
            logger.warning("job %s was claimed by another worker: result dropped", claim.job_id)
        except Postponed as reason:
            self._postpone(claim, reason, jobs.POSTPONE_WHILE_BUSY, logging.DEBUG)
        except Exception as error:  # noqa: BLE001  it is reported in the job's row
            if is_disk_full(error):
                self._postpone(claim, error, jobs.POSTPONE_WHILE_FULL, logging.WARNING)
            else:
                self._fail(claim, error)
        else:
            logger.info("job %s (%s) done", claim.job_id, claim.kind)

    def _postpone(self, claim: Claim, error: Exception, by: timedelta, level: int) -> None:
        reason = describe_error(error)
        with self._services.database.write() as session:
            jobs.postpone(session, claim, reason, self._clock(), by=by)
        logger.log(level, "job %s postponed: %s", claim.job_id, reason)

    def _fail(self, claim: Claim, error: Exception) -> None:
        reason, now = describe_error(error), self._clock()
        with self._services.database.write() as session:
            status = jobs.fail(session, claim, reason, now, permanent=is_permanent(error))
            if status is None:
                return
            failure = JobFailure(reason, given_up=status is JobStatus.DEAD_LETTER, error=error)
            job = session.get_one(Job, claim.job_id)
            self._handlers[claim.kind].on_failure(session, job, failure, now)
        outcome = "given up" if failure.given_up else "failed, will be retried"
        logger.warning("job %s %s: %s%s", claim.job_id, outcome, reason, _traceback(error))


def _traceback(error: BaseException) -> str:
    """Return where an unexpected error was raised, without its text: it may quote patient data."""
    if isinstance(error, ClassifiedError):
        return ""
    return "\n" + "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
