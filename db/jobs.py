"""The job queue: table `job`. Celery only carries messages that a job is due."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Update, and_, not_, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import LostClaim
from db.schema import Job, JobKind, JobStatus

REDISPATCH_AFTER = timedelta(seconds=30)
"""A dispatched job that no worker claimed in this time is dispatched again: its message may be
lost."""
LEASE = timedelta(seconds=60)
"""A running job without a heartbeat for this long goes to another worker."""
POSTPONE_WHILE_FULL = timedelta(seconds=30)
"""How long a job is postponed while the disk is full."""
POSTPONE_WHILE_BUSY = timedelta(seconds=5)
"""How long a job is postponed while other jobs must run first."""
FIRST_BACKOFF = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(hours=1)
MAX_ATTEMPTS = {
    JobKind.ANALYZE: 3,
    JobKind.PUBLISH: 5,
    JobKind.DELIVER: 20,  # about half a day while a destination is down
    JobKind.SIGN: 5,
    JobKind.SHADOW: 2,
}
_ERROR_CHARACTERS = 1024


@dataclass(frozen=True)
class Claim:
    """The right of one worker to run a job, until its lease expires."""

    job_id: UUID
    kind: JobKind
    subject_id: UUID
    attempt: int
    fencing_token: int
    """Higher in every later claim of the same job."""


def enqueue(
    session: Session,
    kind: JobKind,
    *,
    key: str,
    subject_id: UUID,
    now: datetime,
    due_at: datetime | None = None,
) -> Job | None:
    """Add a job in the caller's transaction. Return None if this kind and key exist already."""
    job = new_job(kind, key, subject_id, now=now, due_at=due_at or now)
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:
        return None
    return job


def new_job(kind: JobKind, key: str, subject_id: UUID, *, now: datetime, due_at: datetime) -> Job:
    """Return the row of a job that cannot exist yet, for a caller that adds many rows at once."""
    return Job(
        kind=kind,
        key=key,
        subject_id=subject_id,
        due_at=due_at,
        created_at=now,
        attempts=0,
        fencing_token=0,
    )


def reschedule(session: Session, kind: JobKind, key: str, due_at: datetime) -> bool:
    """Move the due time of a job that was never claimed. Return whether there was one."""
    return _updates_one_row(
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
    indexed_until: datetime | None = None,
) -> Sequence[tuple[UUID, JobKind]]:
    """Return the jobs to dispatch. They are due again after `redispatch_after`, so that the next
    sweep skips them.

    A running job whose lease has expired is queued again. If that was its last attempt, it is left
    to `dead_letter_expired`.

    Args:
        indexed_until: when the oldest received file without a row arrived. A study that was due
            later is not analyzed before the indexer has made that row, which may be its own.
    """
    due = session.scalars(
        select(Job)
        .where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)))
        .where(Job.kind.in_(kinds), Job.due_at <= now, not_(_is_on_last_attempt()))
        .where(_is_indexed(indexed_until))
        .order_by(Job.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in due:
        job.status, job.due_at = JobStatus.QUEUED, now + redispatch_after
    return [(job.id, job.kind) for job in due]


def dead_letter_expired(session: Session, now: datetime, limit: int = 100) -> Sequence[Job]:
    """Give up and return the jobs whose lease expired on their last attempt."""
    expired = session.scalars(
        select(Job)
        .where(Job.due_at <= now, _is_on_last_attempt())
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in expired:
        _dead_letter(job, "the worker stopped during every attempt", now)
    session.flush()
    return expired


def release(session: Session, job_id: UUID, due_at: datetime) -> bool:
    """Return a dispatched job that was not claimed to the queue, due at `due_at`."""
    return _updates_one_row(
        session,
        update(Job).where(Job.id == job_id, Job.status == JobStatus.QUEUED).values(due_at=due_at),
    )


def claim(
    session: Session, job_id: UUID, now: datetime, *, lease: timedelta = LEASE
) -> Claim | None:
    """Claim a queued job. Return None if another worker has it or it does not exist."""
    claimed = _updates_one_row(
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
    if not claimed:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    return Claim(job.id, job.kind, job.subject_id, job.attempts, job.fencing_token)


def extend(session: Session, claim: Claim, now: datetime, *, lease: timedelta = LEASE) -> bool:
    """Renew the lease of a claim. Return False if the claim was lost."""
    return _updates_one_row(session, _update_claimed(claim).values(due_at=now + lease))


def finish(session: Session, claim: Claim, now: datetime) -> None:
    """Mark the job as done, in the transaction that writes its result.

    Raises:
        LostClaim: another worker has claimed the job; the transaction must be rolled back.
    """
    done = _update_claimed(claim).values(status=JobStatus.DONE, finished_at=now)
    if not _updates_one_row(session, done):
        raise LostClaim(f"job {claim.job_id} was claimed by another worker")


def fail(
    session: Session, claim: Claim, error: str, now: datetime, *, permanent: bool = False
) -> JobStatus | None:
    """Queue the job for a retry after a backoff, or give it up if the error is permanent or no
    attempt is left. Return the new status, None if the claim was lost.
    """
    job = session.get_one(Job, claim.job_id, with_for_update=True, populate_existing=True)
    if job.status is not JobStatus.RUNNING or job.fencing_token != claim.fencing_token:
        return None
    if permanent or job.attempts >= MAX_ATTEMPTS[job.kind]:
        _dead_letter(job, error, now)
    else:
        job.status, job.error = JobStatus.QUEUED, error[:_ERROR_CHARACTERS]
        job.due_at = now + backoff(job.attempts)
    session.flush()
    return job.status


def postpone(session: Session, claim: Claim, reason: str, now: datetime, *, by: timedelta) -> bool:
    """Return a claimed job to the queue without counting the attempt. Return False if the claim
    was lost.
    """
    return _updates_one_row(
        session,
        _update_claimed(claim).values(
            status=JobStatus.QUEUED,
            attempts=Job.attempts - 1,
            due_at=now + by,
            error=reason[:_ERROR_CHARACTERS],
        ),
    )


def retry(session: Session, job_id: UUID, now: datetime) -> bool:
    """Queue a dead-lettered job with all its attempts. Return whether it was one."""
    return _updates_one_row(
        session,
        update(Job)
        .where(Job.id == job_id, Job.status == JobStatus.DEAD_LETTER)
        .values(status=JobStatus.QUEUED, attempts=0, due_at=now, finished_at=None),
    )


def backoff(attempts: int) -> timedelta:
    """Return the delay before the next attempt: exponential, with jitter."""
    longest: timedelta = min(FIRST_BACKOFF * 2 ** (attempts - 1), LONGEST_BACKOFF)
    return longest * random.uniform(0.5, 1)  # noqa: S311  not a secret


def is_pending(session: Session, kind: JobKind, subject_id: UUID) -> bool:
    """Return whether a job of this kind is queued or running for the subject."""
    pending = select(Job.id).where(
        Job.kind == kind,
        Job.subject_id == subject_id,
        Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)),
    )
    return bool(session.scalar(select(pending.exists())))


def any_active(session: Session, kinds: Collection[JobKind], now: datetime) -> bool:
    """Return whether a job of these kinds is running, or queued and due."""
    is_due = and_(Job.status == JobStatus.QUEUED, Job.due_at <= now)
    active = select(Job.id).where(Job.kind.in_(kinds), or_(Job.status == JobStatus.RUNNING, is_due))
    return bool(session.scalar(select(active.exists())))


def _is_on_last_attempt() -> ColumnElement[bool]:
    used_up = [
        and_(Job.kind == kind, Job.attempts >= attempts) for kind, attempts in MAX_ATTEMPTS.items()
    ]
    return and_(Job.status == JobStatus.RUNNING, or_(*used_up))


def _is_indexed(until: datetime | None) -> ColumnElement[bool]:
    """Whether each file that a job must see has its row: only ANALYZE jobs depend on files."""
    if until is None:
        return true()
    return or_(Job.kind != JobKind.ANALYZE, Job.due_at < until)


def _update_claimed(claim: Claim) -> Update:
    """Update the job only if the claim is still valid."""
    return update(Job).where(
        Job.id == claim.job_id,
        Job.status == JobStatus.RUNNING,
        Job.fencing_token == claim.fencing_token,
    )


def _dead_letter(job: Job, error: str, now: datetime) -> None:
    job.status, job.error, job.finished_at = JobStatus.DEAD_LETTER, error[:_ERROR_CHARACTERS], now


def _updates_one_row(session: Session, statement: Update) -> bool:
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
