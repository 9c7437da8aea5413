"""Rows of analyses: their start, findings, refusals and end."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import audit, intake, jobs
from db.audit_tags import AuditTag
from db.schema import (
    Analysis,
    AnalysisStatus,
    Finding,
    FindingKind,
    Instance,
    JobKind,
    Refusal,
    Series,
    Study,
    StudyStatus,
)
from dicom.terms.classification import Classification

ACTOR: Final = "worker"
_MAX_REASON_LENGTH: Final = 1024


@dataclass(frozen=True)
class Pipeline:
    """The program and preset that analyze. Digests are SHA-256 of the weights, in hex."""

    version: str
    classifier_digest: str
    segmenter_digest: str
    confidence_threshold: float = 0.0


def list_instances(session: Session, study_id: UUID) -> Sequence[Instance]:
    """Return the instances of a study in the order of a viewer."""
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id)
        .order_by(Series.number.nulls_last(), Series.series_instance_uid)
        .order_by(Instance.number.nulls_last(), Instance.sop_instance_uid)
    ).all()


def begin(session: Session, study: Study, pipeline: Pipeline, now: datetime) -> Analysis:
    """Return the analysis of the study's present revision by this pipeline.

    It is new, left running by a worker that crashed, or already finished.
    """
    digest = intake.compute_study_digest(session, study.id)
    analysis = session.scalar(
        select(Analysis).where(
            Analysis.study_id == study.id,
            Analysis.study_digest == digest,
            Analysis.pipeline_version == pipeline.version,
        )
    )
    if analysis is None:
        analysis = _add_analysis(session, study, digest, pipeline, now)
    if analysis.status is AnalysisStatus.RUNNING:
        study.status, study.status_reason = StudyStatus.ANALYZING, ""
        analysis.revision, analysis.started_at = study.revision, now
    session.flush()
    return analysis


def _add_analysis(
    session: Session, study: Study, digest: str, pipeline: Pipeline, now: datetime
) -> Analysis:
    predecessor_id = session.scalar(
        select(Analysis.id)
        .where(Analysis.study_id == study.id, Analysis.status != AnalysisStatus.RUNNING)
        .order_by(Analysis.finished_at.desc())
        .limit(1)
    )
    analysis = Analysis(
        id=uuid4(),
        study_id=study.id,
        revision=study.revision,
        study_digest=digest,
        pipeline_version=pipeline.version,
        classifier_digest=pipeline.classifier_digest,
        segmenter_digest=pipeline.segmenter_digest,
        confidence_threshold=pipeline.confidence_threshold,
        status=AnalysisStatus.RUNNING,
        predecessor_id=predecessor_id,
        started_at=now,
    )
    session.add(analysis)
    return analysis


def iter_predecessors(session: Session, analysis: Analysis) -> Iterator[UUID]:
    """Yield the earlier analyses that this one succeeds, the latest first."""
    predecessor_id = analysis.predecessor_id
    while predecessor_id is not None:
        yield predecessor_id
        predecessor_id = session.get_one(Analysis, predecessor_id).predecessor_id


def list_known_lesions(session: Session, study_id: UUID) -> Sequence[Finding]:
    """Return the lesions of all finished analyses of the study, the newest analysis first."""
    return session.scalars(
        select(Finding)
        .join(Analysis)
        .where(
            Analysis.study_id == study_id,
            Analysis.status != AnalysisStatus.RUNNING,
            Finding.kind == FindingKind.LESION,
        )
        .order_by(Analysis.finished_at.desc(), Analysis.revision.desc(), Analysis.id)
        .order_by(Finding.number, Finding.frame_number)
    ).all()


def finish(
    session: Session,
    analysis_id: UUID,
    classification: Classification | None,
    findings: Collection[Finding],
    refusals: Collection[Refusal],
    now: datetime,
) -> Analysis:
    """Write findings and refusals, update the study and queue the publication.

    ``classification`` is the study's, None if all images were refused. A second call replaces the
    rows of the first.
    """
    analysis = session.get_one(Analysis, analysis_id)
    study = _lock_study(session, analysis.study_id)
    for table in (Finding, Refusal):
        session.execute(delete(table).where(table.analysis_id == analysis_id))
    session.add_all([*findings, *refusals])
    analysis.status = AnalysisStatus.DONE if classification else AnalysisStatus.REFUSED
    analysis.classification = classification
    analysis.finished_at = now
    _publish(session, study, analysis, now)
    audit.append(
        session,
        AuditTag.STUDY_ANALYZED if classification else AuditTag.STUDY_REFUSED,
        actor=ACTOR,
        now=now,
        study_id=analysis.study_id,
        analysis_id=analysis.id,
        revision=analysis.revision,
        pipeline_version=analysis.pipeline_version,
        label=analysis.label,
        undecided=analysis.undecided,
        findings=len(findings),
        refusals=sorted({refusal.code for refusal in refusals}),
    )
    return analysis


def queue_publication(session: Session, analysis_id: UUID, now: datetime) -> None:
    """Update the study from a finished analysis and queue its publication once.

    A study that has received instances since the analysis began keeps its status.
    """
    analysis = session.get_one(Analysis, analysis_id)
    _publish(session, _lock_study(session, analysis.study_id), analysis, now)


def _publish(session: Session, study: Study, analysis: Analysis, now: datetime) -> None:
    session.flush()
    if study.revision == analysis.revision:
        study.status, study.status_reason = StudyStatus.ANALYZED, ""
        if analysis.status is AnalysisStatus.REFUSED:
            codes = session.scalars(
                select(Refusal.code).where(Refusal.analysis_id == analysis.id).distinct()
            )
            study.status = StudyStatus.REFUSED
            study.status_reason = f"refused: {', '.join(sorted(codes))}"[:_MAX_REASON_LENGTH]
    jobs.enqueue(session, JobKind.PUBLISH, key=str(analysis.id), subject_id=analysis.id, now=now)
    session.flush()


def _lock_study(session: Session, study_id: UUID) -> Study:
    """Lock the study's row before the head of the audit log, as all code does, to avoid deadlocks."""
    return session.get_one(Study, study_id, with_for_update=True, populate_existing=True)


def fail_study(session: Session, study_id: UUID, reason: str, now: datetime) -> None:
    """Show that a job of the study is in the dead-letter queue, and why."""
    study = _lock_study(session, study_id)
    study.status, study.status_reason = StudyStatus.FAILED, reason[:_MAX_REASON_LENGTH]
    audit.append(
        session, AuditTag.STUDY_FAILED, actor=ACTOR, now=now, study_id=study_id, reason=reason
    )


def load_complete(session: Session, analysis_id: UUID) -> Analysis:
    """Return the analysis with study, findings, refusals and instances loaded.

    They can be read after the session is closed.
    """
    return session.scalars(
        select(Analysis)
        .where(Analysis.id == analysis_id)
        .options(
            joinedload(Analysis.study),
            selectinload(Analysis.findings).joinedload(Finding.instance),
            selectinload(Analysis.refusals).joinedload(Refusal.instance),
        )
    ).one()
