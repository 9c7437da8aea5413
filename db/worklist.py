"""The worklist, filtered, sorted and paged by the database.

A page takes three statements of any size: the number of studies, the rows, their deliveries.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Label,
    ScalarSelect,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.schema import (
    Analysis,
    AnalysisStatus,
    Decision,
    Delivery,
    DeliveryStatus,
    Destination,
    ResultSet,
    Review,
    Study,
    StudyStatus,
    User,
)
from dicom.terms.classification import UNDECIDED


class ReviewState(enum.StrEnum):
    """State of the reviews of a study."""

    UNREVIEWED = "unreviewed"
    DRAFT = "draft"
    SIGNED = "signed"
    OUTDATED = "outdated"  # signed, but for an older analysis


class DeliveryState(enum.StrEnum):
    """Combined state of the deliveries of a study's current analysis."""

    NONE = "none"
    WAITING = "waiting"
    RETRYING = "retrying"
    FAILED = "failed"
    DELIVERED = "delivered"


class SortKey(enum.StrEnum):
    RECEIVED = "received"
    STATUS = "status"
    PATIENT = "patient"
    STUDY_DATE = "study-date"
    DESCRIPTION = "description"
    CONFIDENCE = "confidence"
    SUSPICION = "suspicion"  # makes the worklist a triage device; off by default


@dataclass(frozen=True)
class WorklistFilter:
    """Conditions that studies must meet. An empty field is no condition."""

    text: str = ""
    """Words that must all occur in the patient name, Patient ID or accession number."""
    status: StudyStatus | None = None
    label: str = ""
    """A class, or `db.schema.UNDECIDED`."""
    review: ReviewState | None = None
    delivery: DeliveryState | None = None
    date_from: str = ""
    """Study Date, YYYYMMDD, inclusive."""
    date_to: str = ""


@dataclass(frozen=True)
class WorklistOrder:
    key: SortKey = SortKey.RECEIVED
    descending: bool = True


@dataclass(frozen=True)
class DeliverySummary:
    """Number of deliveries of the current analysis by status. ``errors`` name the destination."""

    delivered: int = 0
    waiting: int = 0
    retrying: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return self.delivered + self.waiting + self.retrying + self.failed

    @property
    def state(self) -> DeliveryState:
        if self.failed:
            return DeliveryState.FAILED
        if self.retrying:
            return DeliveryState.RETRYING
        if self.waiting:
            return DeliveryState.WAITING
        return DeliveryState.DELIVERED if self.delivered else DeliveryState.NONE


@dataclass(frozen=True)
class WorklistRow:
    """A study. ``label``, ``undecided`` and ``confidence`` are those of its current analysis."""

    id: UUID
    status: StudyStatus
    status_reason: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    description: str
    received_at: datetime
    analysis_id: UUID | None
    label: str | None
    undecided: bool
    confidence: float | None
    review: ReviewState
    decision: Decision | None
    final_label: str | None
    reader: str
    delivery: DeliverySummary

    @property
    def displayed_class(self) -> str | None:
        """As `db.schema.Analysis.displayed_class`."""
        return UNDECIDED if self.undecided else self.label


@dataclass(frozen=True)
class WorklistPage:
    rows: tuple[WorklistRow, ...]
    total: int
    number: int
    """From 1 to `pages`."""
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def load_page(
    session: Session,
    condition: WorklistFilter,
    order: WorklistOrder,
    *,
    number: int = 1,
    size: int = 50,
) -> WorklistPage:
    """Return one page of the worklist. A page number out of range is clamped."""
    conditions = _conditions(condition)
    total = session.scalar(_joined(select(func.count(Study.id))).where(*conditions)) or 0
    number = min(max(1, number), max(1, -(-total // size)))
    column = _sort_column(order.key)
    rows = session.execute(
        _joined(select(*_columns()))
        .where(*conditions)
        .order_by(column.desc().nulls_last() if order.descending else column.asc().nulls_last())
        .order_by(Study.received_at.desc(), Study.id)
        .limit(size)
        .offset((number - 1) * size)
    ).all()
    deliveries = _load_deliveries(session, [row.analysis_id for row in rows if row.analysis_id])
    return WorklistPage(tuple(_to_row(row, deliveries) for row in rows), total, number, size)


def current_analysis_id() -> ScalarSelect[UUID]:
    """Select the newest finished analysis of the enclosing statement's study."""
    return (
        select(Analysis.id)
        .where(Analysis.study_id == Study.id, Analysis.status != AnalysisStatus.RUNNING)
        .order_by(Analysis.revision.desc(), Analysis.started_at.desc())
        .limit(1)
        .correlate(Study)
        .scalar_subquery()
    )


def find_current_analysis(session: Session, study_id: UUID) -> Analysis | None:
    """Return the newest finished analysis, even if newer images are not analyzed yet."""
    current = select(current_analysis_id()).where(Study.id == study_id).scalar_subquery()
    return session.scalar(select(Analysis).where(Analysis.id == current))


def is_signed_and_current() -> ColumnElement[bool]:
    """Return the condition that a review is signed and no signed review amends it.

    It does not compare the times of signing, because the clocks of two web hosts may differ.
    """
    amendment = aliased(Review)
    amends = select(amendment.id).where(
        amendment.analysis_id == Review.analysis_id,  # always true; this column has an index
        amendment.predecessor_id == Review.id,
        amendment.signed_at.is_not(None),
    )
    return and_(Review.signed_at.is_not(None), ~amends.correlate(Review).exists())


# ------------------------------------------------------------------------------ the statement

_Signed = aliased(Review, name="signed_review")
_Reader = aliased(User, name="reader")


def _joined(statement: Select[Any]) -> Select[Any]:
    # The conditions on foreign keys are redundant, but without them SQLite filters by label in a
    # nested loop over analyses and studies, which takes minutes for 10,000 studies.
    current = and_(Analysis.study_id == Study.id, Analysis.id == current_analysis_id())
    last_signed = (
        select(Review.id)
        .where(Review.analysis_id == Analysis.id, is_signed_and_current())
        .limit(1)
        .correlate(Analysis)
        .scalar_subquery()
    )
    signed = and_(_Signed.analysis_id == Analysis.id, _Signed.id == last_signed)
    return (
        statement.select_from(Study)
        .outerjoin(Analysis, current)
        .outerjoin(_Signed, signed)
        .outerjoin(_Reader, _Reader.id == _Signed.reader_id)
    )


def _confidence() -> ColumnElement[float | None]:
    normal, benign, malignant = Analysis.p_normal, Analysis.p_benign, Analysis.p_malignant
    return case(
        (and_(normal >= benign, normal >= malignant), normal),
        (benign >= malignant, benign),
        else_=malignant,
    )


def _review_state() -> ColumnElement[str]:
    draft = select(Review.id).where(Review.analysis_id == Analysis.id).correlate(Analysis)
    older = (
        select(Review.id)
        .join(Analysis, Analysis.id == Review.analysis_id)
        .where(Analysis.study_id == Study.id, Review.signed_at.is_not(None))
        .correlate(Study)
    )
    return case(
        (_Signed.id.is_not(None), literal(ReviewState.SIGNED.value)),
        (older.exists(), literal(ReviewState.OUTDATED.value)),
        (draft.exists(), literal(ReviewState.DRAFT.value)),
        else_=literal(ReviewState.UNREVIEWED.value),
    )


def _columns() -> list[InstrumentedAttribute[Any] | Label[Any]]:
    return [
        Study.id,
        Study.status,
        Study.status_reason,
        Study.patient_name,
        Study.patient_id,
        Study.patient_birth_date,
        Study.patient_sex,
        Study.accession_number,
        Study.study_date,
        Study.description,
        Study.received_at,
        Analysis.id.label("analysis_id"),
        Analysis.label,
        func.coalesce(Analysis.undecided, false()).label("undecided"),
        _confidence().label("confidence"),
        _review_state().label("review"),
        _Signed.decision,
        _Signed.final_label,
        _Reader.display_name.label("reader"),
    ]


def _conditions(condition: WorklistFilter) -> list[ColumnElement[bool]]:
    conditions = [_has_word(word) for word in condition.text.replace("^", " ").split()]
    if condition.status:
        conditions.append(Study.status == condition.status)
    if condition.label == UNDECIDED:
        conditions.append(Analysis.undecided.is_(True))
    elif condition.label:
        conditions += [Analysis.label == condition.label, Analysis.undecided.is_(False)]
    if condition.review:
        conditions.append(_review_state() == condition.review.value)
    if condition.delivery:
        conditions.append(_delivery_state() == condition.delivery.value)
    if condition.date_from:
        conditions.append(Study.study_date >= condition.date_from)
    if condition.date_to:
        conditions.append(and_(Study.study_date != "", Study.study_date <= condition.date_to))
    return conditions


def _has_word(word: str) -> ColumnElement[bool]:
    # SQLite ignores the case of ASCII letters only, so other letters are searched in each case.
    variants = {word, word.lower(), word.upper(), word.capitalize()}
    places = (Study.patient_name, Study.patient_id, Study.accession_number)
    return or_(
        *(
            place.icontains(variant, autoescape=True)
            for place in places
            for variant in sorted(variants)
        )
    )


def _delivery_state() -> ColumnElement[str]:
    def some(*statuses: DeliveryStatus) -> ColumnElement[bool]:
        return (
            select(Delivery.id)
            .join(ResultSet, ResultSet.id == Delivery.result_set_id)
            .where(ResultSet.analysis_id == Analysis.id, Delivery.status.in_(statuses))
            .correlate(Analysis)
            .exists()
        )

    return case(
        (some(DeliveryStatus.FAILED), literal(DeliveryState.FAILED.value)),
        (some(DeliveryStatus.RETRYING), literal(DeliveryState.RETRYING.value)),
        (some(DeliveryStatus.PENDING), literal(DeliveryState.WAITING.value)),
        (some(DeliveryStatus.DELIVERED), literal(DeliveryState.DELIVERED.value)),
        else_=literal(DeliveryState.NONE.value),
    )


def _sort_column(key: SortKey) -> ColumnElement[Any]:
    match key:
        case SortKey.RECEIVED:
            return Study.received_at.expression
        case SortKey.STATUS:
            return Study.status.expression
        case SortKey.PATIENT:
            return func.lower(Study.patient_name)
        case SortKey.STUDY_DATE:
            return Study.study_date.expression
        case SortKey.DESCRIPTION:
            return func.lower(Study.description)
        case SortKey.CONFIDENCE:
            return _confidence()
        case SortKey.SUSPICION:
            return Analysis.p_malignant.expression


# ------------------------------------------------------------------------------ rows


def _to_row(selected: Any, deliveries: dict[UUID, DeliverySummary]) -> WorklistRow:
    values = dict(selected._mapping)
    values["review"] = ReviewState(values["review"])
    values["reader"] = values["reader"] or ""
    values["delivery"] = deliveries.get(values["analysis_id"], DeliverySummary())
    return WorklistRow(**values)


def _load_deliveries(session: Session, analyses: Sequence[UUID]) -> dict[UUID, DeliverySummary]:
    selected = session.execute(
        select(ResultSet.analysis_id, Delivery.status, Delivery.error, Destination.name)
        .join(ResultSet, ResultSet.id == Delivery.result_set_id)
        .join(Destination, Destination.id == Delivery.destination_id)
        .where(ResultSet.analysis_id.in_(analyses))
        .order_by(Delivery.created_at)
    )
    by_analysis: dict[UUID, list[tuple[DeliveryStatus, str, str]]] = {}
    for analysis_id, status, error, destination in selected:
        by_analysis.setdefault(analysis_id, []).append((status, error, destination))
    summaries = {}
    for analysis_id, deliveries in by_analysis.items():
        statuses = [status for status, _, _ in deliveries]
        summaries[analysis_id] = DeliverySummary(
            delivered=statuses.count(DeliveryStatus.DELIVERED),
            waiting=statuses.count(DeliveryStatus.PENDING),
            retrying=statuses.count(DeliveryStatus.RETRYING),
            failed=statuses.count(DeliveryStatus.FAILED),
            errors=tuple(
                f"{destination}: {error}"
                for status, error, destination in deliveries
                if error and status is not DeliveryStatus.DELIVERED
            ),
        )
    return summaries
