"""Queries of the study page. Every row is loaded through the study that it must belong to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db import reviews
from db.outlines import ReaderOutline, load_outlines
from db.schema import (
    Analysis,
    Delivery,
    Finding,
    FindingKind,
    Instance,
    Refusal,
    ResultSet,
    Review,
    Series,
    Study,
    StudyStatus,
)
from db.study_history import HistoryEntry, load_study_history
from db.worklist import find_current_analysis


@dataclass(frozen=True)
class StudyState:
    """The parts of a study that can change while its page is open."""

    study: Study
    analysis: Analysis | None
    signed: Review | None
    result_sets: Sequence[ResultSet]

    @property
    def in_progress(self) -> bool:
        """New images are being received or analyzed, so that nothing may be signed."""
        return self.study.status in (StudyStatus.RECEIVING, StudyStatus.ANALYZING)

    @property
    def digest(self) -> str:
        """A hash that changes with everything that the page shows of this state."""
        deliveries = [
            (str(delivery.id), delivery.status, delivery.attempts)
            for result_set in self.result_sets
            for delivery in result_set.deliveries
        ]
        analysis_id = self.analysis.id if self.analysis else ""
        signed_id = self.signed.id if self.signed else ""
        revision, status = self.study.revision, self.study.status
        state = (revision, status, str(analysis_id), str(signed_id), deliveries)
        return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StudyPage(StudyState):
    """Everything about one study, read in one transaction."""

    instances: Sequence[Instance]
    findings: Sequence[Finding]
    refusals: Sequence[Refusal]
    reviews: Sequence[Review]
    draft: Review | None
    history: Sequence[HistoryEntry]

    @property
    def is_phantom(self) -> bool:
        return self.study.patient_id.upper().startswith("PHANTOM")

    @property
    def outdated_reviews(self) -> Sequence[Review]:
        """Signed reviews of analyses that a newer one has replaced."""
        current = self.analysis.id if self.analysis else None
        return [r for r in self.reviews if r.signed_at and r.analysis_id != current]

    @property
    def displayed_review(self) -> Review | None:
        """The review whose outlines are shown: the draft if it amends the signed review or if
        none is signed, otherwise the signed review.
        """
        amending = self.draft and self.signed and self.draft.predecessor_id == self.signed.id
        return self.draft if amending or not self.signed else self.signed

    @property
    def outlines(self) -> Sequence[ReaderOutline]:
        return load_outlines(self.displayed_review) if self.displayed_review else ()

    @property
    def is_reviewable(self) -> bool:
        """There is an analysis, and no signed review of it that is not being amended."""
        if self.analysis is None:
            return False
        return self.signed is None or self.displayed_review is not self.signed

    def number_of(self, instance_id: UUID) -> int:
        """Return the position of an image in the study, from 1."""
        return 1 + [instance.id for instance in self.instances].index(instance_id)


def load_study(session: Session, study_id: UUID) -> Study:
    """Raises NoResultFound."""
    return session.get_one(Study, study_id)


def load_state(session: Session, study_id: UUID) -> StudyState:
    """Raises NoResultFound."""
    study = load_study(session, study_id)
    analysis = find_current_analysis(session, study_id)
    signed = reviews.find_signed(session, analysis.id) if analysis else None
    result_sets = session.scalars(
        select(ResultSet)
        .join(Analysis)
        .where(Analysis.study_id == study_id)
        .order_by(ResultSet.created_at.desc())
        .options(
            selectinload(ResultSet.objects),
            selectinload(ResultSet.deliveries).joinedload(Delivery.destination),
            selectinload(ResultSet.deliveries).selectinload(Delivery.objects),
        )
    ).all()
    return StudyState(study, analysis, signed, result_sets)


def load_page(session: Session, study_id: UUID, reader_id: UUID) -> StudyPage:
    """Load the page for one reader, who alone sees the own draft.

    Raises:
        NoResultFound: there is no such study.
    """
    state = load_state(session, study_id)
    analysis = state.analysis
    return StudyPage(
        study=state.study,
        analysis=analysis,
        signed=state.signed,
        result_sets=state.result_sets,
        instances=load_instances(session, study_id),
        findings=load_findings(session, analysis) if analysis else [],
        refusals=load_refusals(session, analysis) if analysis else [],
        reviews=reviews.list_reviews(session, study_id),
        draft=reviews.find_draft(session, analysis.id, reader_id) if analysis else None,
        history=load_study_history(session, study_id),
    )


def load_instance(session: Session, study_id: UUID, instance_id: UUID) -> Instance:
    """Raises NoResultFound, also for an instance of another study."""
    return session.scalars(
        select(Instance).join(Series).where(Series.study_id == study_id, Instance.id == instance_id)
    ).one()


def load_image_finding(
    session: Session, study_id: UUID, analysis_id: UUID, instance_id: UUID
) -> Finding:
    """Load the classification of one instance. Raises NoResultFound."""
    return session.scalars(
        select(Finding)
        .join(Analysis)
        .where(
            Analysis.study_id == study_id,
            Finding.analysis_id == analysis_id,
            Finding.instance_id == instance_id,
            Finding.kind == FindingKind.IMAGE,
        )
    ).one()


def load_analysis(session: Session, study_id: UUID, analysis_id: UUID) -> Analysis:
    """Raises NoResultFound, also for an analysis of another study."""
    return session.scalars(
        select(Analysis).where(Analysis.study_id == study_id, Analysis.id == analysis_id)
    ).one()


def load_review(session: Session, study_id: UUID, review_id: UUID) -> Review:
    """Raises NoResultFound, also for a review of another study."""
    return session.scalars(
        select(Review).join(Analysis).where(Analysis.study_id == study_id, Review.id == review_id)
    ).one()


def load_instances(session: Session, study_id: UUID) -> Sequence[Instance]:
    """Load the instances of a study in the order of their series and instance numbers."""
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id)
        .order_by(
            Series.number.nulls_last(), Instance.number.nulls_last(), Instance.sop_instance_uid
        )
    ).all()


def load_findings(session: Session, analysis: Analysis) -> Sequence[Finding]:
    return session.scalars(
        select(Finding)
        .where(Finding.analysis_id == analysis.id)
        .order_by(Finding.number, Finding.frame_number)
    ).all()


def load_refusals(session: Session, analysis: Analysis) -> Sequence[Refusal]:
    return session.scalars(
        select(Refusal)
        .where(Refusal.analysis_id == analysis.id)
        .order_by(Refusal.frame_number.nulls_first())
    ).all()
