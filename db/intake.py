"""What happens to rows when an instance is received."""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit, jobs
from db.audit_tags import AuditTag
from db.files import StoredFile
from db.schema import (
    Analysis,
    Base,
    Conflict,
    Instance,
    Job,
    JobKind,
    JobStatus,
    SenderCount,
    Series,
    Study,
    StudyStatus,
)

ACTOR = "listener"
R = TypeVar("R", Study, Series, SenderCount)


@dataclass(frozen=True)
class Sender:
    """Who opened the association."""

    calling_ae: str
    address: str


@dataclass(frozen=True)
class StudyFacts:
    """Patient and study level attributes, decoded."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_time: str
    description: str


@dataclass(frozen=True)
class SeriesFacts:
    series_instance_uid: str
    modality: str
    number: int | None
    description: str


@dataclass(frozen=True)
class InstanceFacts:
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    number: int | None
    number_of_frames: int
    rows: int
    columns: int
    frame_time_ms: float | None
    laterality: str


@dataclass(frozen=True)
class Received:
    """One instance whose bytes are on disk."""

    study: StudyFacts
    series: SeriesFacts
    instance: InstanceFacts
    sender: Sender


class Outcome(enum.StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"  # the same bytes as before: nothing new
    CONFLICT = "conflict"  # other bytes under the same UID: the first is kept


def find_instance(session: Session, sop_instance_uid: str) -> Instance | None:
    return session.scalar(select(Instance).where(Instance.sop_instance_uid == sop_instance_uid))


def record_stored(
    session: Session,
    received: Received,
    instance_id: UUID,
    kept: StoredFile,
    *,
    stable_after: timedelta,
    now: datetime,
) -> Instance:
    """Rows for a new instance, and the job that closes its study after `stable_after`.

    Raises:
        IntegrityError: another association stored the same SOP Instance UID meanwhile; look again.
    """
    study = _study(session, received, now)
    series = _series(session, received, study)
    instance = Instance(
        id=instance_id,
        series_id=series.id,
        source_ae=received.sender.calling_ae,
        source_address=received.sender.address,
        received_at=now,
        **kept.__dict__,
        **received.instance.__dict__,
    )
    session.add(instance)
    session.flush()
    _schedule_analysis(session, study, now + stable_after, now)
    if study.patient_id != received.study.patient_id:
        _tell_of_other_patient(session, study, instance, received.sender, now)
    audit.append(
        session,
        AuditTag.INSTANCE_STORED,
        actor=ACTOR,
        now=now,
        study_id=study.id,
        instance_id=instance_id,
        sha256=kept.sha256,
        size_bytes=kept.size_bytes,
        calling_ae=received.sender.calling_ae,
        address=received.sender.address,
    )
    count(session, received.sender, Outcome.STORED, now)
    return instance


def record_duplicate(session: Session, held: Instance, sender: Sender, now: datetime) -> None:
    """The same bytes again. A study whose analysis or results were given up gets a new chance."""
    study = held.series.study
    for job in _given_up(session, study):
        jobs.retry(session, job.id, now)
        if job.kind is JobKind.ANALYZE:  # the results' own job settles the status when it is done
            study.status, study.status_reason = StudyStatus.RECEIVING, ""
    audit.append(
        session,
        AuditTag.INSTANCE_DUPLICATE,
        actor=ACTOR,
        now=now,
        study_id=study.id,
        instance_id=held.id,
        calling_ae=sender.calling_ae,
        address=sender.address,
    )
    count(session, sender, Outcome.DUPLICATE, now)


def _given_up(session: Session, study: Study) -> Sequence[Job]:
    """Dead jobs of the study's present revision."""
    analyses = select(Analysis.id).where(
        Analysis.study_id == study.id, Analysis.revision == study.revision
    )
    analyze = and_(Job.kind == JobKind.ANALYZE, Job.key == job_key(study))
    publish = and_(Job.kind == JobKind.PUBLISH, Job.subject_id.in_(analyses))
    return session.scalars(
        select(Job).where(Job.status == JobStatus.DEAD_LETTER, or_(analyze, publish))
    ).all()


def record_conflict(
    session: Session,
    held: Instance,
    conflict_id: UUID,
    kept: StoredFile,
    sender: Sender,
    now: datetime,
) -> bool:
    """Other bytes under a UID that we hold. False: these very bytes were set aside before."""
    conflict = Conflict(
        id=conflict_id,
        instance_id=held.id,
        source_ae=sender.calling_ae,
        source_address=sender.address,
        received_at=now,
        **kept.__dict__,
    )
    fresh = _added(session, conflict)
    if fresh:
        _audit_conflict(session, held, kept, sender, now)
    # Last, as everywhere: transactions that lock rows in different orders block each other.
    count(session, sender, Outcome.CONFLICT, now)
    return fresh


def _audit_conflict(
    session: Session, held: Instance, kept: StoredFile, sender: Sender, now: datetime
) -> None:
    audit.append(
        session,
        AuditTag.INSTANCE_CONFLICT,
        actor=ACTOR,
        now=now,
        study_id=held.series.study_id,
        instance_id=held.id,
        kept_sha256=held.sha256,
        other_sha256=kept.sha256,
        calling_ae=sender.calling_ae,
        address=sender.address,
    )


def count(session: Session, sender: Sender, event: str, now: datetime) -> None:
    """One more for this sender."""
    where = (
        SenderCount.calling_ae == sender.calling_ae,
        SenderCount.address == sender.address,
        SenderCount.event == event,
    )
    row = session.scalar(select(SenderCount).where(*where).with_for_update())
    if row is None:
        row = SenderCount(
            calling_ae=sender.calling_ae, address=sender.address, event=event, count=0, last_at=now
        )
        row = _added_or_found(session, row, select(SenderCount).where(*where).with_for_update())
    row.count, row.last_at = row.count + 1, now
    session.flush()


def job_key(study: Study) -> str:
    """One analysis job for each revision of a study."""
    return f"{study.id}:{study.revision}"


def study_digest(session: Session, study_id: UUID) -> str:
    """SHA-256 over the digests of the study's files in order of SOP Instance UID: its state."""
    digests = session.scalars(
        select(Instance.sha256)
        .join(Series)
        .where(Series.study_id == study_id)
        .order_by(Instance.sop_instance_uid)
    )
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _schedule_analysis(session: Session, study: Study, due_at: datetime, now: datetime) -> None:
    """Reschedule the analysis of a study still open; for a closed one, open its next revision."""
    if jobs.reschedule(session, JobKind.ANALYZE, job_key(study), due_at):
        return
    job = session.scalar(select(Job).where(Job.kind == JobKind.ANALYZE, Job.key == job_key(study)))
    if job is not None:
        study.revision += 1
    study.status, study.status_reason = StudyStatus.RECEIVING, ""
    session.flush()
    jobs.enqueue(
        session, JobKind.ANALYZE, key=job_key(study), subject_id=study.id, now=now, due_at=due_at
    )


def _tell_of_other_patient(
    session: Session, study: Study, instance: Instance, sender: Sender, now: datetime
) -> None:
    """The image names another Patient ID than its study: corrected since, or mixed up."""
    audit.append(
        session,
        AuditTag.INSTANCE_OTHER_PATIENT,
        actor=ACTOR,
        now=now,
        study_id=study.id,
        instance_id=instance.id,
    )
    count(session, sender, "other-patient", now)


def _study(session: Session, received: Received, now: datetime) -> Study:
    uid = received.study.study_instance_uid
    query = select(Study).where(Study.study_instance_uid == uid).with_for_update()
    study = session.scalar(query)
    if study is None:
        fresh = Study(
            id=uuid4(),
            source_ae=received.sender.calling_ae,
            received_at=now,
            last_instance_at=now,
            status=StudyStatus.RECEIVING,
            status_reason="",
            revision=1,
            **received.study.__dict__,
        )
        study = _added_or_found(session, fresh, query)
    study.last_instance_at = now
    return study


def _series(session: Session, received: Received, study: Study) -> Series:
    uid = received.series.series_instance_uid
    query = select(Series).where(Series.study_id == study.id, Series.series_instance_uid == uid)
    fresh = Series(id=uuid4(), study_id=study.id, **received.series.__dict__)
    return session.scalar(query) or _added_or_found(session, fresh, query)


def _added_or_found(session: Session, row: R, query: Select[R]) -> R:
    """Row or skip: of two associations that meet here, one inserts and the other finds."""
    return row if _added(session, row) else session.scalars(query).one()


def _added(session: Session, row: Base) -> bool:
    """False: a row with the same unique key is there already."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True
