"""Analyses of shadow presets, and how often they agree with the active one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, case, delete, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db import audit, jobs
from db.audit_tags import AuditTag
from db.schema import (
    Analysis,
    Finding,
    FindingKind,
    Instance,
    Job,
    JobKind,
    JobStatus,
    Series,
    ShadowAnalysis,
    ShadowImage,
)
from dicom.terms.classification import UNDECIDED

ACTOR: Final = "worker"
RESULT_JOBS: Final = (JobKind.ANALYZE, JobKind.PUBLISH, JobKind.SIGN)
"""Jobs that produce results. Shadow analyses run only while there are none."""


@dataclass(frozen=True)
class PresetComparison:
    """One shadow preset compared with one active pipeline, over all analyses of both."""

    pipeline_version: str
    preset_name: str
    preset_version: str
    classifier_digest: str
    segmenter_digest: str
    active_pipeline_version: str
    counts: dict[tuple[str, str], int]
    """Analyses by displayed class of the active pipeline and of the shadow preset."""
    images: int = 0
    images_agreeing: int = 0
    mean_dice: float | None = None
    """Of the outlines, over the images where at least one has any."""

    @property
    def analyses(self) -> int:
        return sum(self.counts.values())

    @property
    def agreeing(self) -> int:
        return sum(count for (active, shadow), count in self.counts.items() if active == shadow)

    @property
    def agreement(self) -> float:
        return self.agreeing / self.analyses


@dataclass(frozen=True)
class Disagreement:
    """An analysis that the two presets classify differently."""

    study_id: UUID
    analysis_id: UUID
    pipeline_version: str
    preset_name: str
    preset_version: str
    active: str
    active_probability: float
    shadow: str
    shadow_probability: float
    finished_at: datetime


@dataclass(frozen=True)
class ShadowReport:
    """What an administrator needs to decide whether to activate a shadow preset."""

    comparisons: tuple[PresetComparison, ...]
    disagreements: tuple[Disagreement, ...]
    """Newest first."""
    jobs: dict[str, int] = field(default_factory=dict)
    """Number of shadow jobs by status."""


def enqueue(session: Session, analysis_id: UUID, now: datetime) -> None:
    """Queue a shadow analysis; it starts after the caller's transaction is committed."""
    jobs.enqueue(session, JobKind.SHADOW, key=str(analysis_id), subject_id=analysis_id, now=now)


def is_idle(session: Session, now: datetime) -> bool:
    """Return whether no job that produces results is due or running."""
    return not jobs.any_active(session, RESULT_JOBS, now)


def record(session: Session, shadow: ShadowAnalysis, now: datetime) -> None:
    """Save a shadow analysis. It replaces an earlier one of the same analysis and preset.

    The analysis and its study are not changed.
    """
    old = select(ShadowAnalysis.id).where(
        ShadowAnalysis.analysis_id == shadow.analysis_id,
        ShadowAnalysis.pipeline_version == shadow.pipeline_version,
    )
    session.execute(delete(ShadowImage).where(ShadowImage.shadow_id.in_(old)))
    session.execute(delete(ShadowAnalysis).where(ShadowAnalysis.id.in_(old)))
    session.add(shadow)
    session.flush()
    _audit(
        session,
        AuditTag.SHADOW_COMPARED,
        shadow.analysis_id,
        now,
        pipeline_version=shadow.pipeline_version,
        label=shadow.label,
        undecided=shadow.undecided,
        agrees=shadow.agrees,
    )


def record_failure(session: Session, analysis_id: UUID, reason: str, now: datetime) -> None:
    """Add the audit event of a shadow analysis that was given up."""
    _audit(session, AuditTag.SHADOW_FAILED, analysis_id, now, reason=reason)


def _audit(
    session: Session, tag: AuditTag, analysis_id: UUID, now: datetime, **details: object
) -> None:
    study_id = session.get_one(Analysis, analysis_id).study_id
    audit.append(
        session, tag, actor=ACTOR, now=now, study_id=study_id, analysis_id=analysis_id, **details
    )


# ------------------------------------------------------------------------------ report


def load_report(session: Session, limit: int | None = 200) -> ShadowReport:
    """Return all comparisons, the latest first, and at most ``limit`` disagreements."""
    jobs_by_status = session.execute(
        select(Job.status, func.count()).where(Job.kind == JobKind.SHADOW).group_by(Job.status)
    )
    disagreeing = session.execute(
        select(ShadowAnalysis, Analysis)
        .join(Analysis)
        .where(ShadowAnalysis.agrees.is_(False))
        .order_by(ShadowAnalysis.finished_at.desc(), ShadowAnalysis.id)
        .limit(limit)
    )
    return ShadowReport(
        tuple(_comparisons(session)),
        tuple(
            Disagreement(
                analysis.study_id,
                analysis.id,
                shadow.pipeline_version,
                shadow.preset_name,
                shadow.preset_version,
                analysis.displayed_class or "",
                analysis.confidence or 0.0,
                shadow.displayed_class,
                shadow.confidence,
                shadow.finished_at,
            )
            for shadow, analysis in disagreeing
        ),
        {JobStatus(status).value: count for status, count in jobs_by_status},
    )


def iter_images(session: Session) -> Iterator[dict[str, Any]]:
    """Yield each image that both analyzed, oldest first, as a row of the CSV report."""
    active = aliased(Finding, name="active")
    found = session.execute(
        select(
            Analysis.study_id,
            ShadowAnalysis.analysis_id,
            ShadowImage.instance_id,
            ShadowImage.frame_number,
            Analysis.pipeline_version.label("active_pipeline_version"),
            ShadowAnalysis.pipeline_version.label("shadow_pipeline_version"),
            _displayed_class(active.label, active.undecided).label("active"),
            active.p_normal.label("active_normal"),
            active.p_benign.label("active_benign"),
            active.p_malignant.label("active_malignant"),
            _displayed_class(ShadowImage.label, ShadowImage.undecided).label("shadow"),
            ShadowImage.p_normal.label("shadow_normal"),
            ShadowImage.p_benign.label("shadow_benign"),
            ShadowImage.p_malignant.label("shadow_malignant"),
            ShadowImage.agrees,
            ShadowImage.active_lesions,
            ShadowImage.lesions.label("shadow_lesions"),
            ShadowImage.active_area_px,
            ShadowImage.area_px.label("shadow_area_px"),
            ShadowImage.dice,
        )
        .join(ShadowAnalysis, ShadowAnalysis.id == ShadowImage.shadow_id)
        .join(Analysis, Analysis.id == ShadowAnalysis.analysis_id)
        .join(Instance, Instance.id == ShadowImage.instance_id)
        .join(Series, Series.id == Instance.series_id)
        .join(
            active,
            (active.analysis_id == Analysis.id)
            & (active.instance_id == ShadowImage.instance_id)
            & (active.kind == FindingKind.IMAGE),
        )
        .order_by(ShadowAnalysis.finished_at, ShadowAnalysis.id)
        .order_by(Series.number.nulls_last(), Instance.number.nulls_last(), Instance.id)
        .execution_options(yield_per=1000)
    )
    return (dict(row._mapping) for row in found)


_PAIR: Final = {
    "pipeline_version": ShadowAnalysis.pipeline_version,
    "preset_name": ShadowAnalysis.preset_name,
    "preset_version": ShadowAnalysis.preset_version,
    "classifier_digest": ShadowAnalysis.classifier_digest,
    "segmenter_digest": ShadowAnalysis.segmenter_digest,
    "active_pipeline_version": Analysis.pipeline_version,
}


def _displayed_class(
    label: InstrumentedAttribute[Any], undecided: InstrumentedAttribute[bool]
) -> ColumnElement[str]:
    # A literal, because PostgreSQL cannot group by an expression with a bound parameter.
    return case((undecided, literal_column(f"'{UNDECIDED}'")), else_=label)


_ACTIVE_CLASS: Final = _displayed_class(Analysis.label, Analysis.undecided)
_SHADOW_CLASS: Final = _displayed_class(ShadowAnalysis.label, ShadowAnalysis.undecided)


def _comparisons(session: Session) -> Iterator[PresetComparison]:
    counts_by_pair: dict[tuple[Any, ...], dict[tuple[str, str], int]] = {}
    counted = session.execute(
        select(*_PAIR.values(), _ACTIVE_CLASS, _SHADOW_CLASS, func.count())
        .join(Analysis)
        .group_by(*_PAIR.values(), _ACTIVE_CLASS, _SHADOW_CLASS)
        .order_by(func.max(ShadowAnalysis.finished_at).desc(), ShadowAnalysis.pipeline_version)
    )
    for *pair, active, shadow, count in counted:
        counts_by_pair.setdefault(tuple(pair), {})[active, shadow] = count
    images = _images(session)
    for key, counts in counts_by_pair.items():
        names: dict[str, Any] = dict(zip(_PAIR, key, strict=True))
        yield PresetComparison(**names, counts=counts, **images[key[0], key[-1]])


def _images(session: Session) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures of images by the pipeline versions of shadow and active preset."""
    found = session.execute(
        select(
            ShadowAnalysis.pipeline_version,
            Analysis.pipeline_version,
            func.count(ShadowImage.id),
            func.sum(ShadowImage.agrees.cast(Integer)),
            func.avg(ShadowImage.dice),
        )
        .join(Analysis, Analysis.id == ShadowAnalysis.analysis_id)
        .join(ShadowImage, ShadowImage.shadow_id == ShadowAnalysis.id)
        .group_by(ShadowAnalysis.pipeline_version, Analysis.pipeline_version)
    )
    return {
        (shadow, active): {"images": images, "images_agreeing": agreeing, "mean_dice": dice}
        for shadow, active, images, agreeing, dice in found
    }
