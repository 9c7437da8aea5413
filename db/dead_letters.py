"""The dead-letter queue: jobs that were given up, and their retry by an administrator."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from db import audit, jobs
from db.audit_tags import AuditTag
from db.schema import (
    Analysis,
    Delivery,
    DeliveryStatus,
    Destination,
    Job,
    JobKind,
    JobStatus,
    ResultSet,
    Review,
    Study,
    StudyStatus,
)


@dataclass(frozen=True)
class DeadLetter:
    """A job that was given up, with its study, and its destination if it is a delivery."""

    job_id: UUID
    kind: JobKind
    attempts: int
    error: str
    created_at: datetime
    given_up_at: datetime | None
    study_id: UUID | None
    destination: str | None


def list_dead_letters(session: Session, limit: int = 200) -> Sequence[DeadLetter]:
    """Return the jobs that were given up, newest first."""
    of_set, of_review = aliased(Analysis), aliased(Analysis)
    study_id = case(
        (Job.kind == JobKind.ANALYZE, Job.subject_id),
        else_=func.coalesce(Analysis.study_id, of_set.study_id, of_review.study_id),
    )
    rows = session.execute(
        select(
            Job.id,
            Job.kind,
            Job.attempts,
            Job.error,
            Job.created_at,
            Job.finished_at,
            study_id,
            Destination.name,
        )
        .outerjoin(Analysis, Analysis.id == Job.subject_id)
        .outerjoin(Delivery, Delivery.id == Job.subject_id)
        .outerjoin(Destination, Destination.id == Delivery.destination_id)
        .outerjoin(ResultSet, ResultSet.id == Delivery.result_set_id)
        .outerjoin(of_set, of_set.id == ResultSet.analysis_id)
        .outerjoin(Review, Review.id == Job.subject_id)
        .outerjoin(of_review, of_review.id == Review.analysis_id)
        .where(Job.status == JobStatus.DEAD_LETTER)
        .order_by(Job.finished_at.desc())
        .limit(limit)
    )
    return [DeadLetter(*row) for row in rows]


def retry(session: Session, job_id: UUID, *, actor: str, now: datetime) -> bool:
    """Queue a dead-lettered job with all its attempts. Return whether it was one."""
    if not jobs.retry(session, job_id, now):
        return False
    job = session.get_one(Job, job_id, populate_existing=True)
    study_id = _reopen_subject(session, job)
    audit.append(
        session,
        AuditTag.JOB_RETRIED,
        actor=actor,
        now=now,
        study_id=study_id,
        job_id=job.id,
        kind=job.kind,
    )
    return True


def _reopen_subject(session: Session, job: Job) -> UUID:
    """Set the status of what the job is about back, and return the study's id."""
    match job.kind:
        case JobKind.ANALYZE:
            study = session.get_one(Study, job.subject_id)
            study.status, study.status_reason = StudyStatus.RECEIVING, ""
            return study.id
        case JobKind.DELIVER:
            delivery = session.get_one(Delivery, job.subject_id)
            delivery.status = DeliveryStatus.RETRYING
            return delivery.result_set.analysis.study_id
        case JobKind.PUBLISH | JobKind.SHADOW:
            return session.get_one(Analysis, job.subject_id).study_id
        case JobKind.SIGN:
            return session.get_one(Review, job.subject_id).analysis.study_id
