"""Readers' judgments: drafts that change, signed reviews that never do.

Signed reviews of an analysis form one line: the first names no predecessor, each later one amends
the signed review before it. Whoever writes locks the study first, so that two readers, two clicks
or a new image cannot pass each other.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import analyses, audit, jobs, outlines
from db.audit_tags import AuditTag
from db.errors import DbError, SignedReviewIsFinal
from db.outlines import ReaderOutline
from db.schema import (
    Analysis,
    Decision,
    JobKind,
    Review,
    Role,
    Study,
    StudyStatus,
    User,
)
from db.users import actor
from db.worklist import find_current_analysis, is_signed_and_current
from dicom.terms.birads import BIRADS_CATEGORIES
from dicom.terms.classification import CLASSES

NO_CLASS: Final = "The AI gave no class"
REASONS: Final[Mapping[Decision, tuple[str, ...]]] = {
    Decision.ACCEPT: (),
    Decision.MODIFY: (
        NO_CLASS,
        "Class is wrong",
        "Lesion was missed",
        "Outline is wrong",
        "Not a lesion",
        "Known from other examinations",
        "Other, see comment",
    ),
    Decision.REJECT: (
        "Image quality",
        "Not a breast ultrasound",
        "Wrong patient or side",
        "Outside the intended use",
        "Other, see comment",
    ),
}
MAX_COMMENT_LENGTH: Final = 4000


class ReviewInvalid(DbError):
    """``field`` names what a judgment lacks; the text says what to do."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(problem)


class MayNotReview(DbError):
    """Only a radiologist reviews, and only the reader of a draft signs it."""


class NoOrganization(DbError):
    """A verified report names whom its reader signs for (0040,A027), and the account does not."""

    def __init__(self) -> None:
        super().__init__("an administrator must enter your organization before you can sign")


class Superseded(DbError):
    """The analysis is no longer the study's newest state: read the new one before signing."""


class AlreadySigned(DbError):
    """Somebody signed meanwhile; ``review_id`` is the review to read, and to amend if need be."""

    def __init__(self, review_id: UUID, reader: str) -> None:
        self.review_id = review_id
        super().__init__(
            f"{reader} signed a review of this analysis meanwhile."
            " Read it; to differ from it, amend it."
        )


class DraftChanged(DbError):
    """The draft is not the one that was shown for signing."""


@dataclass(frozen=True)
class Judgment:
    """What a reader says of an analysis. ``final_label`` is None when the result is rejected."""

    decision: Decision
    final_label: str | None = None
    birads: str | None = None
    reason: str = ""
    comment: str = ""
    outlines: tuple[ReaderOutline, ...] = ()
    """Those that differ from the network's."""

    @property
    def digest(self) -> str:
        """Ties a signature to what the reader was shown."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:16]


def judgment_of(review: Review) -> Judgment:
    return Judgment(
        review.decision,
        review.final_label,
        review.birads,
        review.reason,
        review.comment,
        outlines.outlines_of(review),
    )


def save_draft(
    session: Session, analysis_id: UUID, reader: User, judgment: Judgment, now: datetime
) -> Review:
    """Keep the reader's one draft of this analysis; not yet final, seen as a draft in the list.

    Raises:
        MayNotReview, ReviewInvalid, Superseded, AlreadySigned.
    """
    _check_reader(reader)
    analysis = _lock(session, analysis_id)
    judgment = _completed(judgment, analysis)
    _check_current(session, analysis)
    draft = find_draft(session, analysis_id, reader.id)
    if draft is None:
        _check_unsigned(session, analysis_id, None)
        draft = Review(analysis_id=analysis_id, reader_id=reader.id, created_at=now)
        session.add(draft)
    _write(session, draft, judgment)
    _record(session, AuditTag.REVIEW_DRAFT_SAVED, analysis, draft, reader, now)
    return draft


def amend(session: Session, review_id: UUID, reader: User, now: datetime) -> Review:
    """A draft that will replace a signed review: it names it and starts with its judgment.

    Raises:
        MayNotReview, Superseded, AlreadySigned: the review was itself amended meanwhile.
    """
    _check_reader(reader)
    signed = session.get_one(Review, review_id)
    analysis = _lock(session, signed.analysis_id)
    _check_current(session, analysis)
    _check_unsigned(session, analysis.id, signed.id)
    draft = find_draft(session, analysis.id, reader.id)
    if draft is None:
        judgment = judgment_of(signed)
        draft = Review(analysis_id=analysis.id, reader_id=reader.id, created_at=now)
        session.add(draft)
        _write(session, draft, judgment)
    draft.predecessor_id = signed.id
    session.flush()
    _record(session, AuditTag.REVIEW_AMENDMENT_BEGUN, analysis, draft, reader, now)
    return draft


def sign(session: Session, review_id: UUID, reader: User, shown: str, now: datetime) -> Review:
    """Make a draft final and queue its verified report, in the caller's one transaction.

    Signing the same review twice (a double click) signs it once.

    Args:
        shown: the ``digest`` of the judgment that the reader saw when confirming.

    Raises:
        MayNotReview, NoOrganization, Superseded, AlreadySigned, DraftChanged.
    """
    _check_reader(reader)
    if not reader.organization:
        raise NoOrganization
    review = session.get_one(Review, review_id)
    if review.reader_id != reader.id:
        raise MayNotReview("a draft is signed by the reader who wrote it")
    analysis = _lock(session, review.analysis_id)
    session.refresh(review)
    if review.signed_at is not None:
        return review
    if judgment_of(review).digest != shown:
        raise DraftChanged("the draft was changed after it was shown: look at it again")
    _check_current(session, analysis)
    _check_unsigned(session, analysis.id, review.predecessor_id)
    review.signed_at = now
    session.flush()
    jobs.enqueue(session, JobKind.SIGN, key=str(review.id), subject_id=review.id, now=now)
    _record(session, AuditTag.REVIEW_SIGNED, analysis, review, reader, now)
    return review


def find_draft(session: Session, analysis_id: UUID, reader_id: UUID) -> Review | None:
    return session.scalar(
        select(Review)
        .where(
            Review.analysis_id == analysis_id,
            Review.reader_id == reader_id,
            Review.signed_at.is_(None),
        )
        .order_by(Review.created_at.desc())
        .limit(1)
    )


def find_signed(session: Session, analysis_id: UUID) -> Review | None:
    """The signed review that stands: the last of its line."""
    return session.scalar(
        select(Review).where(Review.analysis_id == analysis_id, is_signed_and_current())
    )


def signed_before(session: Session, analysis: Analysis) -> Iterator[Review]:
    """The signed reviews that stood until images came late, of the nearest analysis before this
    one first.
    """
    for before in analyses.line_before(session, analysis):
        signed = find_signed(session, before)
        if signed is not None:
            yield signed


def reviews_of(session: Session, study_id: UUID) -> Sequence[Review]:
    """Every review of a study, of older analyses too, oldest first."""
    return session.scalars(
        select(Review)
        .join(Analysis)
        .where(Analysis.study_id == study_id)
        .order_by(Review.created_at)
    ).all()


def signed_studies(session: Session) -> Sequence[UUID]:
    """Ids, in their order, of every study of which some analysis has a signed review."""
    return session.scalars(
        select(Analysis.study_id)
        .join(Review)
        .where(Review.signed_at.is_not(None))
        .distinct()
        .order_by(Analysis.study_id)
    ).all()


# ------------------------------------------------------------------------------ rules


def _lock(session: Session, analysis_id: UUID) -> Analysis:
    analysis = session.get_one(Analysis, analysis_id)
    session.get_one(Study, analysis.study_id, with_for_update=True, populate_existing=True)
    return analysis


def _check_reader(reader: User) -> None:
    if reader.role is not Role.RADIOLOGIST or not reader.active:
        raise MayNotReview("only a radiologist reviews and signs")


def _check_current(session: Session, analysis: Analysis) -> None:
    newest = find_current_analysis(session, analysis.study_id)
    if newest is None or newest.id != analysis.id:
        raise Superseded("a newer analysis of this study has come: read it before you decide")
    if analysis.study.status in (StudyStatus.RECEIVING, StudyStatus.ANALYZING):
        raise Superseded("new images of this study have come and are being analyzed: wait for them")


def _check_unsigned(session: Session, analysis_id: UUID, predecessor_id: UUID | None) -> None:
    signed = find_signed(session, analysis_id)
    if signed is not None and signed.id != predecessor_id:
        raise AlreadySigned(signed.id, signed.reader.display_name)


def _completed(judgment: Judgment, analysis: Analysis) -> Judgment:
    """Checked, and with the label that follows from the decision."""
    if len(judgment.comment) > MAX_COMMENT_LENGTH:
        raise ReviewInvalid("comment", f"a comment has at most {MAX_COMMENT_LENGTH} characters")
    if judgment.birads is not None and judgment.birads not in BIRADS_CATEGORIES:
        raise ReviewInvalid("birads", "choose one of the BI-RADS categories, or none")
    _check_reason(judgment)
    _check_change(judgment, analysis)
    return Judgment(
        judgment.decision,
        _final_label(judgment, analysis),
        judgment.birads,
        "" if judgment.decision is Decision.ACCEPT else judgment.reason,
        judgment.comment.strip(),
        judgment.outlines,
    )


def _check_reason(judgment: Judgment) -> None:
    known = REASONS[judgment.decision]
    if not known:
        return
    if judgment.reason not in known:
        raise ReviewInvalid("reason", "choose why the AI result is changed or rejected")
    if judgment.reason == known[-1] and not judgment.comment.strip():
        raise ReviewInvalid("comment", "say in the comment why")


def _check_change(judgment: Judgment, analysis: Analysis) -> None:
    changes = judgment.decision is Decision.MODIFY
    if judgment.outlines and not changes:
        raise ReviewInvalid(
            "outlines",
            "you changed outlines: choose to change the AI result, or use the AI outlines again",
        )
    same = judgment.final_label is not None and judgment.final_label == analysis.asserted_class
    if changes and same and not judgment.outlines:
        raise ReviewInvalid("final_label", "that is the AI's class: accept it")


def _final_label(judgment: Judgment, analysis: Analysis) -> str | None:
    match judgment.decision:
        case Decision.REJECT:
            return None
        case Decision.ACCEPT if analysis.asserted_class is None:
            raise ReviewInvalid("decision", "there is no AI result to accept: give your own class")
        case Decision.ACCEPT:
            return analysis.asserted_class
        case Decision.MODIFY if judgment.final_label not in CLASSES:
            raise ReviewInvalid("final_label", "choose the class that you see")
        case Decision.MODIFY:
            return judgment.final_label


def _write(session: Session, review: Review, judgment: Judgment) -> None:
    if review.signed_at is not None:
        raise SignedReviewIsFinal("a signed review is never changed: amend it")
    review.decision, review.final_label = judgment.decision, judgment.final_label
    review.birads, review.reason = judgment.birads, judgment.reason
    review.comment = judgment.comment
    outlines.write(session, review, judgment.outlines)


def _record(
    session: Session, tag: AuditTag, analysis: Analysis, review: Review, reader: User, now: datetime
) -> None:
    audit.append(
        session,
        tag,
        actor=actor(reader.username),
        now=now,
        study_id=analysis.study_id,
        analysis_id=analysis.id,
        review_id=review.id,
        predecessor_id=review.predecessor_id,
        decision=review.decision,
        final_label=review.final_label,
        birads=review.birads,
        outlines=len(review.outlines),
        judgment=judgment_of(review).digest,
    )
