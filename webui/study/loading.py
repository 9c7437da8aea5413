"""Loading what a study page shows. A row is loaded through the study that it must belong to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db import reviews
from db.outlines import ReaderOutline, outlines_of
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
class Standing:
    """Where a study stands: all that an open page keeps asking for."""

    study: Study
    analysis: Analysis | None
    signed: Review | None
    result_sets: Sequence[ResultSet]

    @property
    def moving(self) -> bool:
        """New images are coming or being analyzed: nothing may be signed."""
        return self.study.status in (StudyStatus.RECEIVING, StudyStatus.ANALYZING)

    @property
    def state(self) -> str:
        """Changes whenever an open page should tell its reader that something is new."""
        sent = [(str(d.id), d.status, d.attempts) for s in self.result_sets for d in s.deliveries]
        signed = self.signed.id if self.signed else ""
        current = self.analysis.id if self.analysis else ""
        facts = (self.study.revision, self.study.status, str(current), str(signed), sent)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StudyPage(Standing):
    """Everything about one study, as of one moment."""

    instances: Sequence[Instance]
    findings: Sequence[Finding]
    refusals: Sequence[Refusal]
    reviews: Sequence[Review]
    draft: Review | None
    story: Sequence[HistoryEntry]

    @property
    def phantom(self) -> bool:
        return self.study.patient_id.upper().startswith("PHANTOM")

    @property
    def outdated(self) -> Sequence[Review]:
        """Signed reviews of analyses that a newer one replaced."""
        current = self.analysis.id if self.analysis else None
        return [r for r in self.reviews if r.signed_at and r.analysis_id != current]

    @property
    def at_hand(self) -> Review | None:
        """The review whose outlines are shown: the draft that its reader works on, or the signed
        one.
        """
        amending = self.draft and self.signed and self.draft.predecessor_id == self.signed.id
        return self.draft if amending or not self.signed else self.signed

    @property
    def outlines(self) -> Sequence[ReaderOutline]:
        return outlines_of(self.at_hand) if self.at_hand else ()

    @property
    def open_to_review(self) -> bool:
        return self.analysis is not None and (not self.signed or self.at_hand is not self.signed)

    def number_of(self, instance_id: UUID) -> int:
        """Place of an image in the study, from 1."""
        return 1 + [instance.id for instance in self.instances].index(instance_id)


def load_study(session: Session, study_id: UUID) -> Study:
    """Raises NoResultFound."""
    return session.get_one(Study, study_id)


def load_standing(session: Session, study_id: UUID) -> Standing:
    """Raises NoResultFound."""
    study = load_study(session, study_id)
    analysis = find_current_analysis(session, study_id)
    signed = reviews.find_signed(session, analysis.id) if analysis else None
    return Standing(study, analysis, signed, _result_sets(session, study_id))


def load_page(session: Session, study_id: UUID, reader_id: UUID) -> StudyPage:
    """Raises NoResultFound."""
    standing = load_standing(session, study_id)
    analysis = standing.analysis
    return StudyPage(
        **vars(standing),
        instances=load_instances(session, study_id),
        findings=load_findings(session, analysis) if analysis else [],
        refusals=_refusals(session, analysis),
        reviews=reviews.reviews_of(session, study_id),
        draft=reviews.find_draft(session, analysis.id, reader_id) if analysis else None,
        story=load_study_history(session, study_id),
    )


def load_instance(session: Session, study_id: UUID, instance_id: UUID) -> Instance:
    """Raises NoResultFound, also for an instance of another study."""
    return session.scalars(
        select(Instance).join(Series).where(Series.study_id == study_id, Instance.id == instance_id)
    ).one()


def load_image_finding(
    session: Session, study_id: UUID, analysis_id: UUID, instance_id: UUID
) -> Finding:
    """What the classifier said of one instance. Raises NoResultFound."""
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


def _refusals(session: Session, analysis: Analysis | None) -> Sequence[Refusal]:
    if analysis is None:
        return []
    return session.scalars(
        select(Refusal)
        .where(Refusal.analysis_id == analysis.id)
        .order_by(Refusal.frame_number.nulls_first())
    ).all()


def _result_sets(session: Session, study_id: UUID) -> Sequence[ResultSet]:
    return session.scalars(
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
