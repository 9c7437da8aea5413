"""Rows of received instances."""

import enum
import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from db import audit, jobs
from db.audit import NewAuditEvent
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


@dataclass(frozen=True)
class StoredInstance:
    """A new instance, whose file is in its place."""

    instance_id: UUID
    received: ReceivedInstance
    stored: StoredFile
    received_at: datetime
    complete_at: datetime
    """When its last byte arrived: the quiet time of its study begins then."""
    stable_after: timedelta
    """The analysis of its study is due when no further instance arrived for this long."""
    is_orphan: bool = False
    """Its file was found in its place without a row."""

    @property
    def sender(self) -> Sender:
        return self.received.sender


@dataclass(frozen=True)
class DuplicateInstance:
    """An instance that was received again with the same bytes."""

    instance_id: UUID
    sender: Sender
    received_at: datetime
    restored: StoredFile | None = None
    """The file, if it replaces one that was lost from the disk."""


@dataclass(frozen=True)
class ConflictingInstance:
    """An instance that was received again with other bytes."""

    instance_id: UUID
    conflict_id: UUID
    sender: Sender
    received_at: datetime
    stored: StoredFile | None
    """None if a file with these bytes is in quarantine already."""


RepeatedInstance = DuplicateInstance | ConflictingInstance
Arrival = StoredInstance | RepeatedInstance


def record_arrivals(session: Session, arrivals: Sequence[Arrival], now: datetime) -> None:
    """Add the rows, audit events and jobs of received files.

    Rows are locked in the order of other transactions: studies, jobs, the audit log, counters.

    Raises:
        IntegrityError: an instance with this ID or SOP Instance UID is recorded already.
    """
    new = [arrival for arrival in arrivals if isinstance(arrival, StoredInstance)]
    repeated = [arrival for arrival in arrivals if not isinstance(arrival, StoredInstance)]
    studies = _add_instances(session, new, now)
    instances = _load_instances(session, {arrival.instance_id for arrival in repeated})
    for again in repeated:
        if isinstance(again, DuplicateInstance):
            _restore_file(instances[again.instance_id], again.restored)
        elif again.stored is not None:
            session.add(_new_conflict(again, again.stored))
    _retry_studies(session, repeated, instances, now)
    events: list[NewAuditEvent] = []
    counts: Counter[tuple[Sender, str]] = Counter()
    for arrival in arrivals:
        if isinstance(arrival, StoredInstance):
            described = _describe_stored(arrival, studies[arrival.instance_id])
        else:
            described = _describe_repeated(arrival, instances[arrival.instance_id])
        for count_as, event in described:
            counts[arrival.sender, count_as] += 1
            events += [event] if event else []
    audit.append_all(session, events, actor=ACTOR, now=now)
    # Counters are always locked last. Transactions that lock rows in another order deadlock.
    for (sender, count_as), times in sorted(counts.items(), key=lambda item: repr(item[0])):
        count_event(session, sender, count_as, now, times=times)


def _add_instances(
    session: Session, arrivals: Sequence[StoredInstance], now: datetime
) -> dict[UUID, Study]:
    """Add the rows of new instances and schedule the analysis of their studies.

    Returns the study of each instance.
    """
    by_study: defaultdict[str, list[StoredInstance]] = defaultdict(list)
    for arrival in arrivals:
        by_study[arrival.received.study.study_instance_uid].append(arrival)
    query = select(Study).where(Study.study_instance_uid.in_(by_study))
    found = session.scalars(query.order_by(Study.id).with_for_update()).all()
    known = {study.study_instance_uid: study for study in found}
    added = {uid: _new_study(by_study[uid][0]) for uid in by_study if uid not in known}
    studies = known | added
    session.add_all(added.values())
    series = _find_or_add_series(session, arrivals, studies)
    for arrival in arrivals:
        study = studies[arrival.received.study.study_instance_uid]
        uid = arrival.received.series.series_instance_uid
        session.add(_new_instance(arrival, series[study.id, uid]))
    due_at: dict[str, datetime] = {}
    for uid, study in studies.items():
        latest = max(by_study[uid], key=lambda arrival: arrival.complete_at)
        study.last_instance_at = max(study.last_instance_at, latest.complete_at)
        due_at[uid] = study.last_instance_at + latest.stable_after
    for uid, study in added.items():
        session.add(
            jobs.new_job(
                JobKind.ANALYZE, analysis_job_key(study), study.id, now=now, due_at=due_at[uid]
            )
        )
    session.flush()
    for uid, study in known.items():
        _schedule_analysis(session, study, due_at[uid], now)
    return {
        arrival.instance_id: studies[arrival.received.study.study_instance_uid]
        for arrival in arrivals
    }


def _find_or_add_series(
    session: Session, arrivals: Sequence[StoredInstance], studies: Mapping[str, Study]
) -> dict[tuple[UUID, str], Series]:
    """Return the series by study and Series Instance UID."""
    uids = {arrival.received.series.series_instance_uid for arrival in arrivals}
    query = select(Series).where(
        Series.study_id.in_([study.id for study in studies.values()]),
        Series.series_instance_uid.in_(uids),
    )
    found = {(row.study_id, row.series_instance_uid): row for row in session.scalars(query)}
    for arrival in arrivals:
        study = studies[arrival.received.study.study_instance_uid]
        attributes = arrival.received.series
        if (study.id, attributes.series_instance_uid) not in found:
            row = Series(
                id=uuid4(),
                study_id=study.id,
                series_instance_uid=attributes.series_instance_uid,
                modality=attributes.modality,
                number=attributes.number,
                description=attributes.description,
            )
            session.add(row)
            found[study.id, attributes.series_instance_uid] = row
    return found


def _new_study(arrival: StoredInstance) -> Study:
    attributes = arrival.received.study
    return Study(
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
        source_ae=arrival.sender.calling_ae,
        status=StudyStatus.RECEIVING,
        status_reason="",
        revision=1,
        received_at=arrival.received_at,
        last_instance_at=arrival.complete_at,
    )


def _new_instance(arrival: StoredInstance, series: Series) -> Instance:
    attributes, stored = arrival.received.instance, arrival.stored
    return Instance(
        id=arrival.instance_id,
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
        data_set_sha256=stored.data_set_sha256,
        size_bytes=stored.size_bytes,
        source_ae=arrival.sender.calling_ae,
        source_address=arrival.sender.address,
        received_at=arrival.received_at,
    )


def _new_conflict(arrival: ConflictingInstance, stored: StoredFile) -> Conflict:
    return Conflict(
        id=arrival.conflict_id,
        instance_id=arrival.instance_id,
        file=stored.file,
        sha256=stored.sha256,
        data_set_sha256=stored.data_set_sha256,
        size_bytes=stored.size_bytes,
        source_ae=arrival.sender.calling_ae,
        source_address=arrival.sender.address,
        received_at=arrival.received_at,
    )


def _restore_file(instance: Instance, restored: StoredFile | None) -> None:
    """Its digest changes with the file meta information, which has another time of receipt."""
    if restored is not None:
        instance.sha256, instance.size_bytes = restored.sha256, restored.size_bytes
        instance.data_set_sha256 = restored.data_set_sha256


def _load_instances(session: Session, ids: Collection[UUID]) -> dict[UUID, Instance]:
    """Return instances by ID, with their series and studies."""
    if not ids:
        return {}
    to_study = joinedload(Instance.series).joinedload(Series.study)
    query = select(Instance).where(Instance.id.in_(ids)).options(to_study)
    return {instance.id: instance for instance in session.scalars(query)}


def _describe_stored(
    arrival: StoredInstance, study: Study
) -> Iterator[tuple[str, NewAuditEvent | None]]:
    """Yield what to count, each with its audit event."""
    stored, instance_id = arrival.stored, arrival.instance_id
    if study.patient_id != arrival.received.study.patient_id:  # corrected, or mixed up
        event = NewAuditEvent(AuditTag.INSTANCE_OTHER_PATIENT, study.id, instance_id=instance_id)
        yield "other-patient", event
    event = NewAuditEvent(
        AuditTag.INSTANCE_STORED,
        study.id,
        instance_id=instance_id,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        calling_ae=arrival.sender.calling_ae,
        address=arrival.sender.address,
    )
    yield StoreOutcome.STORED, event
    if arrival.is_orphan:
        outcome = StoreOutcome.STORED
        event = NewAuditEvent(
            AuditTag.ORPHAN_SETTLED,
            study.id,
            instance_id=instance_id,
            file=stored.file,
            outcome=outcome,
        )
        yield f"orphan:{outcome}", event


def _describe_repeated(
    arrival: RepeatedInstance, instance: Instance
) -> Iterator[tuple[str, NewAuditEvent | None]]:
    """Yield what to count, with its audit event. A known conflict is only counted."""
    details = {
        "instance_id": instance.id,
        "calling_ae": arrival.sender.calling_ae,
        "address": arrival.sender.address,
    }
    study_id = instance.series.study_id
    if isinstance(arrival, DuplicateInstance):
        event = NewAuditEvent(AuditTag.INSTANCE_DUPLICATE, study_id, **details)
        yield StoreOutcome.DUPLICATE, event
    elif arrival.stored is None:
        yield StoreOutcome.CONFLICT, None
    else:
        event = NewAuditEvent(
            AuditTag.INSTANCE_CONFLICT,
            study_id,
            **details,
            kept_sha256=instance.sha256,
            other_sha256=arrival.stored.sha256,
        )
        yield StoreOutcome.CONFLICT, event


def _retry_studies(
    session: Session,
    repeated: Sequence[RepeatedInstance],
    instances: Mapping[UUID, Instance],
    now: datetime,
) -> None:
    """Retry the jobs in the dead-letter queue of the studies that have duplicates."""
    studies = {
        study.id: study
        for again in repeated
        if isinstance(again, DuplicateInstance)
        for study in (instances[again.instance_id].series.study,)
    }
    for study_id in sorted(studies):
        study = studies[study_id]
        for job in _load_dead_letters(session, study):
            jobs.retry(session, job.id, now)
            if job.kind is JobKind.ANALYZE:  # a PUBLISH job sets the status when it is done
                study.status, study.status_reason = StudyStatus.RECEIVING, ""
    session.flush()


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


def _add_or_find(session: Session, row: SenderCount, query: Select[SenderCount]) -> SenderCount:
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
