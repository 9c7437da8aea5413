"""Rows of result objects and of their deliveries."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import analyses, audit, jobs
from db.audit_tags import AuditTag
from db.schema import (
    Analysis,
    DeliveredObject,
    Delivery,
    DeliveryStatus,
    Destination,
    JobKind,
    ResultObject,
    ResultSet,
)

ACTOR: Final = "worker"
_MAX_ERROR_LENGTH: Final = 1024


# ------------------------------------------------------------------------------ result sets


def find_analysis_result_set(session: Session, analysis_id: UUID) -> ResultSet | None:
    """Return the result set of the analysis itself, not of its reviews."""
    return _find_set(session, ResultSet.analysis_id == analysis_id, ResultSet.review_id.is_(None))


def find_review_result_set(session: Session, review_id: UUID) -> ResultSet | None:
    """Return the result set of a signed review."""
    return _find_set(session, ResultSet.review_id == review_id)


def _find_set(session: Session, *where: ColumnElement[bool]) -> ResultSet | None:
    return session.scalar(
        select(ResultSet)
        .where(*where)
        .options(selectinload(ResultSet.objects), selectinload(ResultSet.deliveries))
    )


def find_published_before(session: Session, analysis: Analysis) -> ResultSet | None:
    """Return the result set of the newest predecessor that was published before this analysis."""
    own = find_analysis_result_set(session, analysis.id)
    for before in analyses.iter_predecessors(session, analysis):
        result_set = find_analysis_result_set(session, before)
        if result_set and (own is None or result_set.created_at <= own.created_at):
            return result_set
    return None


def find_published_after(session: Session, analysis: Analysis) -> ResultSet | None:
    """Return the result set of the next analysis of the study that is published already."""
    return _find_set_after(session, analysis, ResultSet.review_id.is_(None))


def find_signed_after(session: Session, analysis: Analysis) -> ResultSet | None:
    """Return the result set of a signed review of a later analysis of the study."""
    return _find_set_after(session, analysis, ResultSet.review_id.is_not(None))


def _find_set_after(
    session: Session, analysis: Analysis, kind: ColumnElement[bool]
) -> ResultSet | None:
    return session.scalar(
        select(ResultSet)
        .join(Analysis)
        .where(
            kind,
            Analysis.study_id == analysis.study_id,
            Analysis.finished_at > analysis.finished_at,
        )
        .order_by(Analysis.finished_at)
        .limit(1)
    )


def is_predecessor_pending(session: Session, analysis: Analysis) -> bool:
    """Return whether a predecessor is still to be published.

    Predecessors in the dead-letter queue do not count.
    """
    for before in analyses.iter_predecessors(session, analysis):
        if find_analysis_result_set(session, before):
            return False
        if jobs.is_pending(session, JobKind.PUBLISH, before):
            return True
    return False


def add_result_set(
    session: Session,
    analysis_id: UUID,
    objects: Iterable[ResultObject],
    now: datetime,
    *,
    review_id: UUID | None = None,
) -> ResultSet:
    """Add the result set of an analysis, or of a review of it. The files must exist."""
    result_set = ResultSet(id=uuid4(), analysis_id=analysis_id, review_id=review_id, created_at=now)
    result_set.objects = list(objects)
    session.add(result_set)
    session.flush()
    return result_set


def record_published(
    session: Session,
    result_set: ResultSet,
    deliveries: Iterable[Delivery],
    now: datetime,
    *,
    left_out: Mapping[str, Sequence[str]] | None = None,
    superseded_by: UUID | None = None,
    previous_selection: Sequence[str] = (),
) -> None:
    """Append the audit event. Call it last in the transaction, because it locks the audit log.

    Args:
        left_out: by spec, why a selected object was not created.
        superseded_by: a later analysis that is published already, so that nothing is sent.
        previous_selection: of the destination, if its result selection changed.
    """
    optional = {
        "left_out": dict(left_out or {}),
        "superseded_by": superseded_by,
        "instead_of": list(previous_selection),
    }
    audit.append(
        session,
        AuditTag.REVIEW_PUBLISHED if result_set.review_id else AuditTag.ANALYSIS_PUBLISHED,
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
        review_id=result_set.review_id,
        objects={row.sop_instance_uid: row.sha256 for row in result_set.objects},
        destinations=[delivery.destination.name for delivery in deliveries],
        **{name: value for name, value in optional.items() if value},
    )


def record_no_route(session: Session, result_set: ResultSet, now: datetime) -> None:
    """Append the audit event of a study that no route matches."""
    audit.append(
        session,
        AuditTag.STUDY_NO_ROUTE,
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
    )


# ------------------------------------------------------------------------------ deliveries


def add_delivery(
    session: Session,
    result_set: ResultSet,
    destination: Destination,
    selection: Sequence[str],
    route: str,
    now: datetime,
) -> Delivery | None:
    """Queue the objects of a selection for a destination. Return None if the set has none."""
    if not any(list(selection) in row.selections for row in result_set.objects):
        return None
    delivery = Delivery(
        id=uuid4(),
        result_set_id=result_set.id,
        destination_id=destination.id,
        route=route,
        selection=list(selection),
        status=DeliveryStatus.PENDING,
        attempts=0,
        error="",
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    jobs.enqueue(session, JobKind.DELIVER, key=str(delivery.id), subject_id=delivery.id, now=now)
    return delivery


def load_delivery(session: Session, delivery_id: UUID) -> Delivery:
    """Return a delivery with its destination and result set loaded."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(joinedload(Delivery.destination), joinedload(Delivery.result_set))
    ).one()


def update_selection(
    session: Session,
    delivery_id: UUID,
    selection: Sequence[str],
    objects: Iterable[ResultObject],
    now: datetime,
) -> None:
    """Give a delivery the present result selection of its destination.

    Args:
        objects: those that the result set may lack for the selection. Their files must exist.
            Objects that the set has meanwhile are not added again.
    """
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    # Another delivery may add objects to the set at the same time.
    result_set = session.get_one(
        ResultSet, delivery.result_set_id, with_for_update=True, populate_existing=True
    )
    known = {row.sop_instance_uid for row in result_set.objects}
    result_set.objects += [row for row in objects if row.sop_instance_uid not in known]
    previous, delivery.selection = delivery.selection, list(selection)
    session.flush()
    record_published(session, result_set, [delivery], now, previous_selection=previous)


def list_delivery_objects(
    session: Session, delivery: Delivery, reports: Collection[str]
) -> Sequence[ResultObject]:
    """Return the objects of a delivery in the order of its selection.

    Some viewers cannot display a report that arrives before the objects that it refers to.
    ``reports`` are the specs of the selection whose objects are reports.
    """
    objects = session.scalars(
        select(ResultObject).where(
            ResultObject.result_set_id == delivery.result_set_id,
            ResultObject.spec.in_(delivery.selection),
        )
    )
    # Each selection has its own report. Other objects are the same in every selection.
    return sorted(
        (row for row in objects if row.spec not in reports or delivery.selection in row.selections),
        key=lambda row: (delivery.selection.index(row.spec), row.sop_instance_uid),
    )


def find_accepted_objects(
    session: Session, delivery: Delivery, is_accepted: Callable[[int], bool]
) -> frozenset[UUID]:
    """Return the IDs of the objects whose last C-STORE status ``is_accepted``."""
    responses = session.scalars(
        select(DeliveredObject).where(DeliveredObject.delivery_id == delivery.id)
    )
    return frozenset(row.result_object_id for row in responses if is_accepted(row.status_code))


def record_store_statuses(
    session: Session, delivery_id: UUID, statuses: Mapping[UUID, int], now: datetime
) -> None:
    """Store the last C-STORE status of each object, by the ID of the object."""
    known = {
        row.result_object_id: row
        for row in session.scalars(
            select(DeliveredObject).where(DeliveredObject.delivery_id == delivery_id)
        )
    }
    for object_id, status in statuses.items():
        row = known.get(object_id) or DeliveredObject(
            delivery_id=delivery_id, result_object_id=object_id
        )
        row.status_code, row.answered_at = status, now
        session.add(row)
    session.flush()


def record_delivered(
    session: Session, delivery_id: UUID, now: datetime, *, withdrawn: Sequence[str] = ()
) -> None:
    """Record that the destination accepted all objects.

    Args:
        withdrawn: specs that it no longer selects and that were not sent.
    """
    delivery = _count_attempt(session, delivery_id)
    delivery.status, delivery.error = DeliveryStatus.DELIVERED, ""
    delivery.delivered_at = now
    optional = {"withdrawn": list(withdrawn)} if withdrawn else {}
    _append_event(session, delivery, AuditTag.DELIVERY_DELIVERED, now, **optional)


def record_not_delivered(
    session: Session, delivery_id: UUID, error: str, now: datetime, *, given_up: bool
) -> None:
    """Record a failed attempt. If ``given_up``, the job is in the dead-letter queue."""
    delivery = _count_attempt(session, delivery_id)
    delivery.status = DeliveryStatus.FAILED if given_up else DeliveryStatus.RETRYING
    is_first_error = not delivery.error
    delivery.error = error[:_MAX_ERROR_LENGTH]
    if given_up:
        _append_event(session, delivery, AuditTag.DELIVERY_FAILED, now, error=error)
    elif is_first_error:  # one event for a PACS that is down, not one for each attempt
        _append_event(session, delivery, AuditTag.DELIVERY_RETRYING, now, error=error)


def _count_attempt(session: Session, delivery_id: UUID) -> Delivery:
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    delivery.attempts += 1
    return delivery


def _append_event(
    session: Session, delivery: Delivery, tag: AuditTag, now: datetime, **details: object
) -> None:
    audit.append(
        session,
        tag,
        actor=ACTOR,
        now=now,
        study_id=delivery.result_set.analysis.study_id,
        delivery_id=delivery.id,
        destination=delivery.destination.name,
        attempts=delivery.attempts,
        **details,
    )
