"""Reviews: drafts, which can be changed, and signed reviews, which cannot.

The first signed review of an analysis has no predecessor; each later one amends the one before it.
Every function that writes locks the study first, so that two readers, two clicks or a new image
cannot interfere.
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

NO_CLASS: Final = "AI result undecided"
REASONS: Final[Mapping[Decision, tuple[str, ...]]] = {
    Decision.ACCEPT: (),
    Decision.MODIFY: (
        NO_CLASS,
        "Incorrect class",
        "Missed lesion",
        "Inaccurate outline",
        "Not a lesion",
        "Known from prior examinations",
        "Other (see comment)",
    ),
    Decision.REJECT: (
        "Insufficient image quality",
        "Not a breast ultrasound",
        "Wrong patient or laterality",
        "Outside the intended use",
        "Other (see comment)",
    ),
}
MAX_COMMENT_LENGTH: Final = 4000


class ReviewInvalid(DbError):
    """Raised when a judgment is incomplete or contradicts itself; ``field`` names the form field."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(problem)


class MayNotReview(DbError):
    """Raised when a user who is not a radiologist reviews, or signs the draft of another."""


class NoOrganization(DbError):
    """Raised when a reader's account lacks the Verifying Organization (0040,A027)."""

    def __init__(self) -> None:
        super().__init__("an administrator must enter your organization before you can sign")


class Superseded(DbError):
    """Raised when the study has new images or a newer analysis."""


class AlreadySigned(DbError):
    """Raised when another reader has signed; ``review_id`` is that review."""

    def __init__(self, review_id: UUID, reader: str) -> None:
        self.review_id = review_id
        super().__init__(
            f"{reader} has signed a review of this analysis. To change it, amend that review."
        )


class DraftChanged(DbError):
    """Raised when the draft has changed since it was shown for signing."""


@dataclass(frozen=True)
class Judgment:
    """A reader's judgment of an analysis. ``final_label`` is None if the result is rejected."""

    decision: Decision
    final_label: str | None = None
    birads: str | None = None
    reason: str = ""
    comment: str = ""
    outlines: tuple[ReaderOutline, ...] = ()
    """Those that the reader changed."""

    @property
    def digest(self) -> str:
        """A hash that ties the signature to the judgment that was shown."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:16]


def load_judgment(review: Review) -> Judgment:
    return Judgment(
        review.decision,
        review.final_label,
        review.birads,
        review.reason,
        review.comment,
        outlines.load_outlines(review),
    )


def save_draft(
    session: Session, analysis_id: UUID, reader: User, judgment: Judgment, now: datetime
) -> Review:
    """Save the reader's draft of this analysis; there is at most one.

    Raises:
        MayNotReview, ReviewInvalid, Superseded, AlreadySigned.
    """
    _check_reader(reader)
    analysis = _lock(session, analysis_id)
    judgment = _complete(judgment, analysis)
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
    """Return a draft that amends a signed review and starts with its judgment.

    Raises:
        MayNotReview, Superseded.
        AlreadySigned: the review has been amended.
    """
    _check_reader(reader)
    signed = session.get_one(Review, review_id)
    analysis = _lock(session, signed.analysis_id)
    _check_current(session, analysis)
    _check_unsigned(session, analysis.id, signed.id)
    draft = find_draft(session, analysis.id, reader.id)
    if draft is None:
        judgment = load_judgment(signed)
        draft = Review(analysis_id=analysis.id, reader_id=reader.id, created_at=now)
        session.add(draft)
        _write(session, draft, judgment)
    draft.predecessor_id = signed.id
    session.flush()
    _record(session, AuditTag.REVIEW_AMENDMENT_BEGUN, analysis, draft, reader, now)
    return draft


def sign(
    session: Session, review_id: UUID, reader: User, shown_digest: str, now: datetime
) -> Review:
    """Sign a draft and queue its verified report in the caller's transaction.

    Signing a signed review again, as a double click does, changes nothing.

    Args:
        shown_digest: the ``digest`` of the judgment that the reader confirmed.

    Raises:
        MayNotReview, NoOrganization, Superseded, AlreadySigned, DraftChanged.
    """
    _check_reader(reader)
    if not reader.organization:
        raise NoOrganization
    review = session.get_one(Review, review_id)
    if review.reader_id != reader.id:
        raise MayNotReview("only the reader who wrote a draft can sign it")
    analysis = _lock(session, review.analysis_id)
    session.refresh(review)
    if review.signed_at is not None:
        return review
    if load_judgment(review).digest != shown_digest:
        raise DraftChanged("the draft was changed after it was shown: check it again, then sign")
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
    """Return the signed review that no other amends."""
    return session.scalar(
        select(Review).where(Review.analysis_id == analysis_id, is_signed_and_current())
    )


def iter_earlier_signed(session: Session, analysis: Analysis) -> Iterator[Review]:
    """Yield the signed reviews of the analyses before this one, the latest first."""
    for predecessor_id in analyses.iter_predecessors(session, analysis):
        signed = find_signed(session, predecessor_id)
        if signed is not None:
            yield signed


def list_reviews(session: Session, study_id: UUID) -> Sequence[Review]:
    """Return the reviews of all analyses of a study, oldest first."""
    return session.scalars(
        select(Review)
        .join(Analysis)
        .where(Analysis.study_id == study_id)
        .order_by(Review.created_at)
    ).all()


def list_signed_studies(session: Session) -> Sequence[UUID]:
    """Return the ids, in ascending order, of all studies with a signed review."""
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
        raise MayNotReview("only a radiologist can review and sign")


def _check_current(session: Session, analysis: Analysis) -> None:
    newest = find_current_analysis(session, analysis.study_id)
    if newest is None or newest.id != analysis.id:
        raise Superseded("this study has a newer analysis: review that one")
    if analysis.study.status in (StudyStatus.RECEIVING, StudyStatus.ANALYZING):
        raise Superseded("this study has new images: wait until they are analyzed")


def _check_unsigned(session: Session, analysis_id: UUID, predecessor_id: UUID | None) -> None:
    signed = find_signed(session, analysis_id)
    if signed is not None and signed.id != predecessor_id:
        raise AlreadySigned(signed.id, signed.reader.display_name)


def _complete(judgment: Judgment, analysis: Analysis) -> Judgment:
    """Check the judgment and return it with the class that follows from the decision."""
    if len(judgment.comment) > MAX_COMMENT_LENGTH:
        raise ReviewInvalid(
            "comment", f"the comment is too long: enter at most {MAX_COMMENT_LENGTH} characters"
        )
    if judgment.birads is not None and judgment.birads not in BIRADS_CATEGORIES:
        raise ReviewInvalid("birads", "choose a BI-RADS category or none")
    reasons = REASONS[judgment.decision]
    if reasons and judgment.reason not in reasons:
        raise ReviewInvalid("reason", "choose a reason")
    if reasons and judgment.reason == reasons[-1] and not judgment.comment.strip():
        raise ReviewInvalid("comment", "enter the reason in the comment")
    _check_change(judgment, analysis)
    return Judgment(
        judgment.decision,
        _final_label(judgment, analysis),
        judgment.birads,
        "" if judgment.decision is Decision.ACCEPT else judgment.reason,
        judgment.comment.strip(),
        judgment.outlines,
    )


def _check_change(judgment: Judgment, analysis: Analysis) -> None:
    changes = judgment.decision is Decision.MODIFY
    if judgment.outlines and not changes:
        raise ReviewInvalid(
            "outlines",
            "outlines were changed: choose to modify the AI result, or restore the AI outlines",
        )
    same = judgment.final_label is not None and judgment.final_label == analysis.asserted_class
    if changes and same and not judgment.outlines:
        raise ReviewInvalid("final_label", "this is the class of the AI: accept the result instead")


def _final_label(judgment: Judgment, analysis: Analysis) -> str | None:
    match judgment.decision:
        case Decision.REJECT:
            return None
        case Decision.ACCEPT if analysis.asserted_class is None:
            raise ReviewInvalid(
                "decision", "the AI result is undecided: choose modify and enter a class"
            )
        case Decision.ACCEPT:
            return analysis.asserted_class
        case Decision.MODIFY if judgment.final_label not in CLASSES:
            raise ReviewInvalid("final_label", "choose a class")
        case Decision.MODIFY:
            return judgment.final_label


def _write(session: Session, review: Review, judgment: Judgment) -> None:
    if review.signed_at is not None:
        raise SignedReviewIsFinal("a signed review cannot be changed: amend it")
    review.decision, review.final_label = judgment.decision, judgment.final_label
    review.birads, review.reason = judgment.birads, judgment.reason
    review.comment = judgment.comment
    outlines.replace_outlines(session, review, judgment.outlines)


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
        judgment=load_judgment(review).digest,
    )
