"""Rows of received instances."""

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
    """The peer that opened the association."""

    calling_ae: str
    address: str


@dataclass(frozen=True)
class StudyAttributes:
    """Decoded attributes at patient and study level."""

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
class SeriesAttributes:
    """Decoded attributes at series level."""

    series_instance_uid: str
    modality: str
    number: int | None
    description: str


@dataclass(frozen=True)
class InstanceAttributes:
    """Decoded attributes at instance level."""

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
class ReceivedInstance:
    """Attributes of an instance whose file is on disk, and its sender."""

    study: StudyAttributes
    series: SeriesAttributes
    instance: InstanceAttributes
    sender: Sender


class StoreOutcome(enum.StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"  # same bytes as before; nothing is stored
    CONFLICT = "conflict"  # other bytes under the same UID; the new file is quarantined


def find_instance(session: Session, sop_instance_uid: str) -> Instance | None:
    return session.scalar(select(Instance).where(Instance.sop_instance_uid == sop_instance_uid))


def record_stored(
    session: Session,
    received: ReceivedInstance,
    instance_id: UUID,
    stored: StoredFile,
    *,
    stable_after: timedelta,
    now: datetime,
) -> Instance:
    """Add rows for a new instance and schedule the analysis of its study.

    Args:
        stable_after: the analysis is due when no further instance arrived for this long.

    Raises:
        IntegrityError: another association stored the same SOP Instance UID at the same time.
    """
    study = _find_or_add_study(session, received, now)
    series = _find_or_add_series(session, received.series, study)
    attributes = received.instance
    instance = Instance(
        id=instance_id,
        series_id=series.id,
        sop_instance_uid=attributes.sop_instance_uid,
        sop_class_uid=attributes.sop_class_uid,
        transfer_syntax_uid=attributes.transfer_syntax_uid,
        number=attributes.number,
        number_of_frames=attributes.number_of_frames,
        rows=attributes.rows,
        columns=attributes.columns,
        frame_time_ms=attributes.frame_time_ms,
        laterality=attributes.laterality,
        file=stored.file,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        source_ae=received.sender.calling_ae,
        source_address=received.sender.address,
        received_at=now,
    )
    session.add(instance)
    session.flush()
    _schedule_analysis(session, study, now + stable_after, now)
    if study.patient_id != received.study.patient_id:  # corrected at the modality, or mixed up
        audit.append(
            session,
            AuditTag.INSTANCE_OTHER_PATIENT,
            actor=ACTOR,
            now=now,
            study_id=study.id,
            instance_id=instance.id,
        )
        count_event(session, received.sender, "other-patient", now)
    audit.append(
        session,
        AuditTag.INSTANCE_STORED,
        actor=ACTOR,
        now=now,
        study_id=study.id,
        instance_id=instance_id,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        calling_ae=received.sender.calling_ae,
        address=received.sender.address,
    )
    count_event(session, received.sender, StoreOutcome.STORED, now)
    return instance


def record_duplicate(session: Session, instance: Instance, sender: Sender, now: datetime) -> None:
    """Record that an instance was received again with the same bytes.

    Retries the jobs of the study's current revision that are in the dead-letter queue.
    """
    study = instance.series.study
    for job in _load_dead_letters(session, study):
        jobs.retry(session, job.id, now)
        if job.kind is JobKind.ANALYZE:  # a PUBLISH job sets the status when it is done
            study.status, study.status_reason = StudyStatus.RECEIVING, ""
    audit.append(
        session,
        AuditTag.INSTANCE_DUPLICATE,
        actor=ACTOR,
        now=now,
        study_id=study.id,
        instance_id=instance.id,
        calling_ae=sender.calling_ae,
        address=sender.address,
    )
    count_event(session, sender, StoreOutcome.DUPLICATE, now)


def _load_dead_letters(session: Session, study: Study) -> Sequence[Job]:
    """Return the ANALYZE and PUBLISH jobs of the study's current revision."""
    analyses = select(Analysis.id).where(
        Analysis.study_id == study.id, Analysis.revision == study.revision
    )
    analyze = and_(Job.kind == JobKind.ANALYZE, Job.key == analysis_job_key(study))
    publish = and_(Job.kind == JobKind.PUBLISH, Job.subject_id.in_(analyses))
    return session.scalars(
        select(Job).where(Job.status == JobStatus.DEAD_LETTER, or_(analyze, publish))
    ).all()


def record_conflict(
    session: Session,
    instance: Instance,
    conflict_id: UUID,
    quarantined: StoredFile,
    sender: Sender,
    now: datetime,
) -> bool:
    """Record that an instance was received again with other bytes.

    Returns False if a file with these bytes is in quarantine already.
    """
    conflict = Conflict(
        id=conflict_id,
        instance_id=instance.id,
        file=quarantined.file,
        sha256=quarantined.sha256,
        size_bytes=quarantined.size_bytes,
        source_ae=sender.calling_ae,
        source_address=sender.address,
        received_at=now,
    )
    is_new = _try_add(session, conflict)
    if is_new:
        audit.append(
            session,
            AuditTag.INSTANCE_CONFLICT,
            actor=ACTOR,
            now=now,
            study_id=instance.series.study_id,
            instance_id=instance.id,
            kept_sha256=instance.sha256,
            other_sha256=quarantined.sha256,
            calling_ae=sender.calling_ae,
            address=sender.address,
        )
    # The counter is always locked last. Transactions that lock rows in another order deadlock.
    count_event(session, sender, StoreOutcome.CONFLICT, now)
    return is_new


def count_event(
    session: Session, sender: Sender, event: str, now: datetime, *, times: int = 1
) -> None:
    """Increase the sender's counter for ``event``."""
    query = (
        select(SenderCount)
        .where(
            SenderCount.calling_ae == sender.calling_ae,
            SenderCount.address == sender.address,
            SenderCount.event == event,
        )
        .with_for_update()
    )
    row = session.scalar(query)
    if row is None:
        row = SenderCount(
            calling_ae=sender.calling_ae, address=sender.address, event=event, count=0, last_at=now
        )
        row = _add_or_find(session, row, query)
    row.count, row.last_at = row.count + times, now
    session.flush()


def analysis_job_key(study: Study) -> str:
    """Return the key of the ANALYZE job: one for each revision of a study."""
    return f"{study.id}:{study.revision}"


def compute_study_digest(session: Session, study_id: UUID) -> str:
    """Return the SHA-256 of the SHA-256 digests of all instances, by SOP Instance UID."""
    digests = session.scalars(
        select(Instance.sha256)
        .join(Series)
        .where(Series.study_id == study_id)
        .order_by(Instance.sop_instance_uid)
    )
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _schedule_analysis(session: Session, study: Study, due_at: datetime, now: datetime) -> None:
    """Move or add the study's ANALYZE job. Once it was claimed, open the next revision."""
    if jobs.reschedule(session, JobKind.ANALYZE, analysis_job_key(study), due_at):
        return
    claimed = select(Job.id).where(Job.kind == JobKind.ANALYZE, Job.key == analysis_job_key(study))
    if session.scalar(claimed) is not None:
        study.revision += 1
    study.status, study.status_reason = StudyStatus.RECEIVING, ""
    session.flush()
    jobs.enqueue(
        session,
        JobKind.ANALYZE,
        key=analysis_job_key(study),
        subject_id=study.id,
        now=now,
        due_at=due_at,
    )


def _find_or_add_study(session: Session, received: ReceivedInstance, now: datetime) -> Study:
    attributes = received.study
    query = (
        select(Study)
        .where(Study.study_instance_uid == attributes.study_instance_uid)
        .with_for_update()
    )
    study = session.scalar(query)
    if study is None:
        study = Study(
            id=uuid4(),
            study_instance_uid=attributes.study_instance_uid,
            patient_id=attributes.patient_id,
            patient_name=attributes.patient_name,
            patient_birth_date=attributes.patient_birth_date,
            patient_sex=attributes.patient_sex,
            accession_number=attributes.accession_number,
            study_date=attributes.study_date,
            study_time=attributes.study_time,
            description=attributes.description,
            source_ae=received.sender.calling_ae,
            status=StudyStatus.RECEIVING,
            status_reason="",
            revision=1,
            received_at=now,
            last_instance_at=now,
        )
        study = _add_or_find(session, study, query)
    study.last_instance_at = now
    return study


def _find_or_add_series(session: Session, attributes: SeriesAttributes, study: Study) -> Series:
    query = select(Series).where(
        Series.study_id == study.id,
        Series.series_instance_uid == attributes.series_instance_uid,
    )
    series = Series(
        id=uuid4(),
        study_id=study.id,
        series_instance_uid=attributes.series_instance_uid,
        modality=attributes.modality,
        number=attributes.number,
        description=attributes.description,
    )
    return session.scalar(query) or _add_or_find(session, series, query)


def _add_or_find(session: Session, row: R, query: Select[R]) -> R:
    """Add the row, or return the one that another transaction added meanwhile."""
    return row if _try_add(session, row) else session.scalars(query).one()


def _try_add(session: Session, row: Base) -> bool:
    """Add a row. Return False if a row with the same unique key exists."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True
