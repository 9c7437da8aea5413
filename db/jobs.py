"""Queue operations on the job table. No Celery here: the table is the queue."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Update, and_, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import LostClaim
from db.schema import Job, JobKind, JobStatus

REDISPATCH_AFTER = timedelta(seconds=30)
"""A rung job that nobody took by then is rung again: its message may be lost."""
LEASE = timedelta(seconds=60)
"""A running job whose worker gave no sign for so long goes to another one."""
PUT_OFF = timedelta(seconds=30)
"""How long a job waits for what is nobody's fault before it looks again: room on the disk, say."""
GIVE_WAY = timedelta(seconds=5)
"""How long a shadow waits for the results of others before it looks again."""
FIRST_BACKOFF = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(hours=1)
MAX_ATTEMPTS = {
    JobKind.ANALYZE: 3,
    JobKind.PUBLISH: 5,
    JobKind.DELIVER: 20,  # about half a day of an absent PACS
    JobKind.SIGN: 5,
    JobKind.SHADOW: 2,  # nobody waits for it
}
_UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a job. ``fencing_token`` is higher in every later claim of the same job."""

    job_id: UUID
    kind: JobKind
    subject_id: UUID
    attempt: int
    fencing_token: int


def enqueue(
    session: Session,
    kind: JobKind,
    *,
    key: str,
    subject_id: UUID,
    now: datetime,
    due_at: datetime | None = None,
) -> Job | None:
    """Add a job in the caller's transaction; None if the same job exists already."""
    job = Job(
        kind=kind,
        key=key,
        subject_id=subject_id,
        due_at=due_at or now,
        created_at=now,
        attempts=0,
        fencing_token=0,
    )
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:
        return None
    return job


def postpone(session: Session, kind: JobKind, key: str, due_at: datetime) -> bool:
    """Move a job that nobody claimed yet; True if there was one."""
    return _changed(
        session,
        update(Job)
        .where(Job.kind == kind, Job.key == key, Job.status == JobStatus.QUEUED, Job.attempts == 0)
        .values(due_at=due_at),
    )


def take_due(
    session: Session,
    now: datetime,
    limit: int = 100,
    *,
    kinds: Collection[JobKind] = tuple(JobKind),
    redispatch_after: timedelta = REDISPATCH_AFTER,
) -> Sequence[tuple[UUID, JobKind]]:
    """Jobs to ring for, each pushed into the future so that the next sweep skips it.

    A running job found here lost its worker: it is queued again, unless its attempts are used up:
    `dead_letter_lost` is for those, and whoever calls it tells what they were about.
    """
    due = session.scalars(
        select(Job)
        .where(Job.status.in_(_UNFINISHED), Job.kind.in_(kinds), Job.due_at <= now)
        .where(not_(_lost_for_good()))
        .order_by(Job.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        job.status, job.due_at = JobStatus.QUEUED, now + redispatch_after
    return [(job.id, job.kind) for job in due]


def dead_letter_lost(session: Session, now: datetime, limit: int = 100) -> Sequence[Job]:
    """Give up the running jobs whose workers died on every attempt; returns them."""
    lost = session.scalars(
        select(Job)
        .where(Job.due_at <= now, _lost_for_good())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in lost:
        _bury(job, "gave up: the worker died every time", now)
    session.flush()
    return lost


def release(session: Session, job_id: UUID, due_at: datetime) -> bool:
    """Give back a rung job that was not claimed: it is due again at ``due_at``."""
    return _changed(
        session,
        update(Job).where(Job.id == job_id, Job.status == JobStatus.QUEUED).values(due_at=due_at),
    )


def claim(
    session: Session, job_id: UUID, now: datetime, *, lease: timedelta = LEASE
) -> Claim | None:
    """Take the job if nobody else holds it: one UPDATE, one winner."""
    won = _changed(
        session,
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.QUEUED)
        .values(
            status=JobStatus.RUNNING,
            due_at=now + lease,
            attempts=Job.attempts + 1,
            fencing_token=Job.fencing_token + 1,
            error="",
        ),
    )
    if not won:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    return Claim(job.id, job.kind, job.subject_id, job.attempts, job.fencing_token)


def extend(session: Session, claim: Claim, now: datetime, *, lease: timedelta = LEASE) -> bool:
    """A sign of life from the worker; False if the claim was lost."""
    return _changed(session, _held(claim).values(due_at=now + lease))


def finish(session: Session, claim: Claim, now: datetime) -> None:
    """Done, in the same transaction as the result.

    Raises:
        LostClaim: another worker took over; the caller's transaction must roll back.
    """
    if not _changed(session, _held(claim).values(status=JobStatus.DONE, finished_at=now)):
        raise LostClaim(f"job {claim.job_id} was taken over by another worker")


def fail(
    session: Session, claim: Claim, error: str, now: datetime, *, permanent: bool = False
) -> JobStatus | None:
    """Back off and try again, or give up; returns the new status, None if the claim was lost."""
    job = session.get_one(Job, claim.job_id, with_for_update=True, populate_existing=True)
    if job.status is not JobStatus.RUNNING or job.fencing_token != claim.fencing_token:
        return None
    if permanent or job.attempts >= MAX_ATTEMPTS[job.kind]:
        _bury(job, error, now)
    else:
        job.status, job.error = JobStatus.QUEUED, error[:1024]
        job.due_at = now + backoff(job.attempts)
    session.flush()
    return job.status


def put_off(
    session: Session, claim: Claim, reason: str, now: datetime, *, wait: timedelta = PUT_OFF
) -> bool:
    """Wait for what is nobody's fault: the attempt does not count. False: lost."""
    return _changed(
        session,
        _held(claim).values(
            status=JobStatus.QUEUED,
            attempts=Job.attempts - 1,
            due_at=now + wait,
            error=reason[:1024],
        ),
    )


def retry(session: Session, job_id: UUID, now: datetime) -> bool:
    """Bring a dead job back, with all its attempts; False if it is not dead."""
    return _changed(
        session,
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.DEAD_LETTER)
        .values(status=JobStatus.QUEUED, attempts=0, due_at=now, finished_at=None),
    )


def backoff(attempts: int) -> timedelta:
    """Doubling, with jitter so that a PACS that comes back is not met by everyone at once."""
    longest: timedelta = min(FIRST_BACKOFF * 2 ** (attempts - 1), LONGEST_BACKOFF)
    return longest * random.uniform(0.5, 1)  # noqa: S311  not a secret


def is_coming(session: Session, kind: JobKind, subject_id: UUID) -> bool:
    """Whether a job is still to be done, or being done. One that was given up is not."""
    waiting = select(Job.id).where(
        Job.kind == kind,
        Job.subject_id == subject_id,
        Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)),
    )
    return bool(session.scalar(select(waiting.exists())))


def under_way(session: Session, kinds: Collection[JobKind], now: datetime) -> bool:
    """Whether a job of these kinds runs anywhere, or is due."""
    waits = and_(Job.status == JobStatus.QUEUED, Job.due_at <= now)
    some = select(Job.id).where(Job.kind.in_(kinds), or_(Job.status == JobStatus.RUNNING, waits))
    return bool(session.scalar(select(some.exists())))


def _lost_for_good() -> ColumnElement[bool]:
    """Of running jobs whose lease is over: no further attempt is left."""
    used_up = [
        and_(Job.kind == kind, Job.attempts >= attempts) for kind, attempts in MAX_ATTEMPTS.items()
    ]
    return and_(Job.status == JobStatus.RUNNING, or_(*used_up))


def _held(claim: Claim) -> Update:
    return update(Job).where(
        Job.id == claim.job_id,
        Job.status == JobStatus.RUNNING,
        Job.fencing_token == claim.fencing_token,
    )


def _bury(job: Job, error: str, now: datetime) -> None:
    job.status, job.error, job.finished_at = JobStatus.DEAD_LETTER, error[:1024], now


def _changed(session: Session, statement: Update) -> bool:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
