"""One job from claim to finish."""

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
from workers.errors import GivesWay, describe_error, is_nobodys_fault, is_permanent
from workers.jobs.analyze import Analyze
from workers.jobs.deliver import Deliver
from workers.jobs.handler import Failure, JobHandler
from workers.jobs.publish import Publish
from workers.jobs.shadow import Shadow
from workers.jobs.sign import Sign
from workers.queue.slots import ActiveLeases, ConcurrencySlots
from workers.services import Services

logger = logging.getLogger(__name__)

_OFFER_AGAIN: Final = timedelta(seconds=1)


def job_handlers(services: Services) -> Mapping[JobKind, JobHandler]:
    """What is done for each kind of job."""
    return {
        JobKind.ANALYZE: Analyze(services),
        JobKind.PUBLISH: Publish(services),
        JobKind.DELIVER: Deliver(services),
        JobKind.SIGN: Sign(services),
        JobKind.SHADOW: Shadow(services),
    }


class Runner:
    """Runs jobs by id, from any thread."""

    def __init__(
        self,
        services: Services,
        job_handlers: Mapping[JobKind, JobHandler],
        slots: ConcurrencySlots,
        held: ActiveLeases,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._services = services
        self._job_handlers = job_handlers
        self._slots = slots
        self._leases = held
        self._clock = clock

    def run(self, job_id: UUID, kind: JobKind) -> None:
        """Do the job unless somebody else has it or no hand is free for its kind. Never raises."""
        try:
            with self._slots.taken(kind) as taken:
                if taken:
                    self._take(job_id)
                else:
                    self._give_back(job_id)
        except Exception as error:  # noqa: BLE001  the database is gone: the lease heals it
            logger.error("job %s: %s%s", job_id, describe_error(error), _trace(error))

    def _give_back(self, job_id: UUID) -> None:
        with self._services.database.write() as session:
            jobs.release(session, job_id, self._clock() + _OFFER_AGAIN)

    def _take(self, job_id: UUID) -> None:
        now = self._clock()
        with self._services.database.write() as session:
            claim = jobs.claim(session, job_id, now, lease=self._services.settings.lease)
        if claim is None:  # a message that came twice or too late
            return
        with self._leases.holding(claim, now):
            self._work(claim, now)

    def _work(self, claim: Claim, now: datetime) -> None:
        logger.info("job %s (%s) begins, attempt %d", claim.job_id, claim.kind, claim.attempt)
        try:
            write = self._job_handlers[claim.kind].do(claim, now)
            now = self._clock()
            with self._services.database.write() as session:
                jobs.finish(session, claim, now)
                write(session, now)
        except LostClaim:
            logger.warning("job %s was taken over: its result is dropped here", claim.job_id)
        except Exception as error:  # noqa: BLE001  whatever it is, its row tells of it
            self._fail(claim, error)
        else:
            logger.info("job %s (%s) is done", claim.job_id, claim.kind)

    def _fail(self, claim: Claim, error: Exception) -> None:
        reason, permanent, now = describe_error(error), is_permanent(error), self._clock()
        if is_nobodys_fault(error):
            self._put_off(claim, error, now)
            return
        with self._services.database.write() as session:
            status = jobs.fail(session, claim, reason, now, permanent=permanent)
            if status is None:
                return
            failure = Failure(reason, given_up=status is JobStatus.DEAD_LETTER, error=error)
            job = session.get_one(Job, claim.job_id)
            self._job_handlers[claim.kind].failed(session, job, failure, now)
        outcome = "is given up" if failure.given_up else "will be tried again"
        logger.warning("job %s %s: %s%s", claim.job_id, outcome, reason, _trace(error))

    def _put_off(self, claim: Claim, error: Exception, now: datetime) -> None:
        reason, gives_way = describe_error(error), isinstance(error, GivesWay)
        wait = jobs.GIVE_WAY if gives_way else jobs.PUT_OFF
        with self._services.database.write() as session:
            jobs.put_off(session, claim, reason, now, wait=wait)
        level = logging.DEBUG if gives_way else logging.WARNING
        logger.log(level, "job %s is put off: %s", claim.job_id, reason)


def _trace(error: BaseException) -> str:
    """Where a surprise happened. Without its text, which may quote patient data."""
    if hasattr(error, "permanent"):
        return ""
    return "\n" + "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
