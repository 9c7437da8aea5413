"""Rows of what we made, and of its way to the destinations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, joinedload, selectinload

from db import audit, jobs
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
_ERROR_CHARACTERS: Final = 1024


def set_of_analysis(session: Session, analysis_id: UUID) -> ResultSet | None:
    """What was published for the analysis itself."""
    return _set(session, ResultSet.analysis_id == analysis_id, ResultSet.review_id.is_(None))


def set_of_review(session: Session, review_id: UUID) -> ResultSet | None:
    """What was published for a signed review."""
    return _set(session, ResultSet.review_id == review_id)


def _set(session: Session, *where: ColumnElement[bool]) -> ResultSet | None:
    return session.scalar(
        select(ResultSet)
        .where(*where)
        .options(selectinload(ResultSet.objects), selectinload(ResultSet.deliveries))
    )


def published_before(session: Session, analysis: Analysis) -> ResultSet | None:
    """The result set of the nearest analysis before this one that has been published."""
    before = analysis.predecessor_id
    while before is not None:
        result_set = set_of_analysis(session, before)
        if result_set is not None:
            return result_set
        before = session.get_one(Analysis, before).predecessor_id
    return None


def add_set(
    session: Session,
    analysis_id: UUID,
    objects: Iterable[ResultObject],
    now: datetime,
    *,
    review_id: UUID | None = None,
) -> ResultSet:
    """Record the objects of an analysis, or of a review of it, whose files are in place."""
    result_set = ResultSet(id=uuid4(), analysis_id=analysis_id, review_id=review_id, created_at=now)
    result_set.objects = list(objects)
    session.add(result_set)
    session.flush()
    return result_set


def add_delivery(
    session: Session,
    result_set: ResultSet,
    destination: Destination,
    wish: Sequence[str],
    route: str,
    now: datetime,
) -> Delivery | None:
    """Send what the set holds for `wish` to the destination; None when that is nothing."""
    if not any(list(wish) in made.wishes for made in result_set.objects):
        return None
    delivery = Delivery(
        id=uuid4(),
        result_set_id=result_set.id,
        destination_id=destination.id,
        route=route,
        wish=list(wish),
        status=DeliveryStatus.PENDING,
        attempts=0,
        error="",
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    jobs.enqueue(session, JobKind.DELIVER, key=str(delivery.id), subject_id=delivery.id, now=now)
    return delivery


def tell_published(
    session: Session,
    result_set: ResultSet,
    deliveries: Iterable[Delivery],
    now: datetime,
    *,
    left_out: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Tell what was made and where it goes. The last in a transaction: it locks the chain.

    `left_out` says by spec why something that was wished for was not made.
    """
    audit.append(
        session,
        "worker:review:published" if result_set.review_id else "worker:analysis:published",
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
        review_id=result_set.review_id,
        objects={made.sop_instance_uid: made.sha256 for made in result_set.objects},
        destinations=[delivery.destination.name for delivery in deliveries],
        **({"left_out": dict(left_out)} if left_out else {}),
    )


def tell_no_route(session: Session, result_set: ResultSet, now: datetime) -> None:
    """Tell that no route takes the study: its results stay here."""
    audit.append(
        session,
        "worker:study:no-route",
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
    )


def delivery_with_destination(session: Session, delivery_id: UUID) -> Delivery:
    """The delivery, readable when detached."""
    return session.scalars(
        select(Delivery).where(Delivery.id == delivery_id).options(joinedload(Delivery.destination))
    ).one()


def objects_due(
    session: Session, delivery: Delivery, accepted: Callable[[int], bool]
) -> Sequence[ResultObject]:
    """Objects that the destination wants and has not accepted yet, in the order of its wish: a
    report that arrives before what it refers to cannot be shown.

    What it no longer wants is left out: a kind that a PACS refuses must not hold up the others.
    """
    wanted = [spec for spec in delivery.wish if spec in delivery.destination.results]
    done = [
        answered.result_object_id
        for answered in session.scalars(
            select(DeliveredObject).where(DeliveredObject.delivery_id == delivery.id)
        )
        if accepted(answered.status_code)
    ]
    objects = session.scalars(
        select(ResultObject).where(
            ResultObject.result_set_id == delivery.result_set_id,
            ResultObject.spec.in_(wanted),
            ResultObject.id.not_in(done),
        )
    )
    return sorted(
        (made for made in objects if delivery.wish in made.wishes),
        key=lambda made: (wanted.index(made.spec), made.sop_instance_uid),
    )


def record_answers(
    session: Session, delivery_id: UUID, statuses: Mapping[UUID, int], now: datetime
) -> None:
    """Keep the peer's last answer for each object, by the object's id."""
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


def delivered(session: Session, delivery_id: UUID, now: datetime) -> None:
    delivery = _attempted(session, delivery_id)
    delivery.status, delivery.error = DeliveryStatus.DELIVERED, ""
    delivery.delivered_at = now
    _tell(session, delivery, "worker:delivery:delivered", now)


def not_delivered(
    session: Session, delivery_id: UUID, error: str, now: datetime, *, given_up: bool
) -> None:
    """One attempt failed: it is tried again, or waits in the dead letter for a person."""
    delivery = _attempted(session, delivery_id)
    delivery.status = DeliveryStatus.FAILED if given_up else DeliveryStatus.RETRYING
    first = not delivery.error
    delivery.error = error[:_ERROR_CHARACTERS]
    if given_up:
        _tell(session, delivery, "worker:delivery:failed", now, error=error)
    elif first:  # one line for an absent PACS, not one for each of twenty attempts
        _tell(session, delivery, "worker:delivery:retrying", now, error=error)


def _attempted(session: Session, delivery_id: UUID) -> Delivery:
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    delivery.attempts += 1
    return delivery


def _tell(session: Session, delivery: Delivery, tag: str, now: datetime, **details: object) -> None:
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
