"""Rows of an analysis, from the state of a study that it looks at to what it found."""

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
_REASON_CHARACTERS: Final = 1024


@dataclass(frozen=True)
class Pipeline:
    """What analyses: program and preset in one version, SHA-256 (hex) of the weights, and the
    probability below which no class is asserted.
    """

    version: str
    classifier_digest: str
    segmenter_digest: str
    confidence_threshold: float = 0.0


def images_of(session: Session, study_id: UUID) -> Sequence[Instance]:
    """Every instance of the study, in the order in which a reader would see them."""
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id)
        .order_by(Series.number.nulls_last(), Series.series_instance_uid)
        .order_by(Instance.number.nulls_last(), Instance.sop_instance_uid)
    ).all()


def begin(session: Session, study: Study, pipeline: Pipeline, now: datetime) -> Analysis:
    """The analysis of the study's present state by this pipeline: a new one, the one that a
    crashed worker left behind, or one that is finished already.
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
        analysis = _new(session, study, digest, pipeline, now)
    if analysis.status is AnalysisStatus.RUNNING:
        study.status, study.status_reason = StudyStatus.ANALYZING, ""
        analysis.revision, analysis.started_at = study.revision, now
    session.flush()
    return analysis


def _new(
    session: Session, study: Study, digest: str, pipeline: Pipeline, now: datetime
) -> Analysis:
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
        predecessor_id=_last_finished(session, study.id),
        started_at=now,
    )
    session.add(analysis)
    return analysis


def _last_finished(session: Session, study_id: UUID) -> UUID | None:
    return session.scalar(
        select(Analysis.id)
        .where(Analysis.study_id == study_id, Analysis.status != AnalysisStatus.RUNNING)
        .order_by(Analysis.finished_at.desc())
        .limit(1)
    )


def line_before(session: Session, analysis: Analysis) -> Iterator[UUID]:
    """The analyses that this one succeeds, the nearest first."""
    before = analysis.predecessor_id
    while before is not None:
        yield before
        before = session.get_one(Analysis, before).predecessor_id


def lesions_before(session: Session, study_id: UUID) -> Sequence[Finding]:
    """The lesions of every finished analysis of the study, of the newest analysis first."""
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


def conclude(
    session: Session,
    analysis_id: UUID,
    classification: Classification | None,
    findings: Collection[Finding],
    refusals: Collection[Refusal],
    now: datetime,
) -> Analysis:
    """Write what was found, settle the study and queue the publication.

    A second call replaces what the first one wrote.
    """
    analysis = session.get_one(Analysis, analysis_id)
    study = _locked(session, analysis.study_id)
    for table in (Finding, Refusal):
        session.execute(delete(table).where(table.analysis_id == analysis_id))
    session.add_all([*findings, *refusals])
    analysis.status = AnalysisStatus.DONE if classification else AnalysisStatus.REFUSED
    analysis.classification = classification
    analysis.finished_at = now
    _settle(session, study, analysis, now)
    _tell(session, analysis, findings, refusals, now)
    return analysis


def _tell(
    session: Session,
    analysis: Analysis,
    findings: Collection[Finding],
    refusals: Collection[Refusal],
    now: datetime,
) -> None:
    audit.append(
        session,
        AuditTag.STUDY_ANALYZED if analysis.label else AuditTag.STUDY_REFUSED,
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


def settle(session: Session, analysis_id: UUID, now: datetime) -> None:
    """Give the study the status of a finished analysis, unless images came since it began, and
    queue the publication once.
    """
    analysis = session.get_one(Analysis, analysis_id)
    _settle(session, _locked(session, analysis.study_id), analysis, now)


def _settle(session: Session, study: Study, analysis: Analysis, now: datetime) -> None:
    session.flush()
    if study.revision == analysis.revision:
        refused = analysis.status is AnalysisStatus.REFUSED
        study.status = StudyStatus.REFUSED if refused else StudyStatus.ANALYZED
        study.status_reason = _refusal_reason(session, analysis.id) if refused else ""
    jobs.enqueue(session, JobKind.PUBLISH, key=str(analysis.id), subject_id=analysis.id, now=now)
    session.flush()


def _locked(session: Session, study_id: UUID) -> Study:
    """The study's row before the head of the audit chain, as everywhere: whoever locks them the
    other way round blocks the listener and is blocked by it.
    """
    return session.get_one(Study, study_id, with_for_update=True, populate_existing=True)


def _refusal_reason(session: Session, analysis_id: UUID) -> str:
    codes = session.scalars(
        select(Refusal.code).where(Refusal.analysis_id == analysis_id).distinct()
    )
    return f"refused: {', '.join(sorted(codes))}"[:_REASON_CHARACTERS]


def fail(session: Session, study_id: UUID, reason: str, now: datetime) -> None:
    """The work on the study is in the dead letter: people see the reason."""
    study = _locked(session, study_id)
    study.status, study.status_reason = StudyStatus.FAILED, reason[:_REASON_CHARACTERS]
    audit.append(
        session, AuditTag.STUDY_FAILED, actor=ACTOR, now=now, study_id=study_id, reason=reason
    )


def whole(session: Session, analysis_id: UUID) -> Analysis:
    """The analysis with study, findings, refusals and their instances, readable when detached."""
    return session.scalars(
        select(Analysis)
        .where(Analysis.id == analysis_id)
        .options(
            joinedload(Analysis.study),
            selectinload(Analysis.findings).joinedload(Finding.instance),
            selectinload(Analysis.refusals).joinedload(Refusal.instance),
        )
    ).one()
