"""Rows of what we made, and of its way to the destinations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """The result set of the nearest analysis before this one that was published before it."""
    own = set_of_analysis(session, analysis.id)
    for before in analyses.line_before(session, analysis):
        result_set = set_of_analysis(session, before)
        if result_set and (own is None or result_set.created_at <= own.created_at):
            return result_set
    return None


def published_after(session: Session, analysis: Analysis) -> ResultSet | None:
    """The result set of a later analysis of the study, where that was published already."""
    return _set_after(session, analysis, ResultSet.review_id.is_(None))


def signed_after(session: Session, analysis: Analysis) -> ResultSet | None:
    """The result set of a signed review of a later analysis of the study."""
    return _set_after(session, analysis, ResultSet.review_id.is_not(None))


def _set_after(session: Session, analysis: Analysis, kind: ColumnElement[bool]) -> ResultSet | None:
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


def waits_for_another(session: Session, analysis: Analysis) -> bool:
    """Whether an earlier analysis of the study is about to be published. One that was given up
    holds nothing up.
    """
    for before in analyses.line_before(session, analysis):
        if set_of_analysis(session, before):
            return False
        if jobs.is_pending(session, JobKind.PUBLISH, before):
            return True
    return False


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
    selection: Sequence[str],
    route: str,
    now: datetime,
) -> Delivery | None:
    """Send what the set holds for `selection` to the destination; None when that is nothing."""
    if not any(list(selection) in made.selections for made in result_set.objects):
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


def tell_published(
    session: Session,
    result_set: ResultSet,
    deliveries: Iterable[Delivery],
    now: datetime,
    *,
    left_out: Mapping[str, Sequence[str]] | None = None,
    superseded_by: UUID | None = None,
    instead_of: Sequence[str] = (),
) -> None:
    """Tell what was made and where it goes. The last in a transaction: it locks the chain.

    `left_out` says by spec why something that was wished for was not made, `superseded_by` names
    the later analysis for whose sake nothing is sent, `instead_of` is what the destination wanted
    before it changed its mind.
    """
    besides = {
        "left_out": dict(left_out or {}),
        "superseded_by": superseded_by,
        "instead_of": list(instead_of),
    }
    audit.append(
        session,
        AuditTag.REVIEW_PUBLISHED if result_set.review_id else AuditTag.ANALYSIS_PUBLISHED,
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
        review_id=result_set.review_id,
        objects={made.sop_instance_uid: made.sha256 for made in result_set.objects},
        destinations=[delivery.destination.name for delivery in deliveries],
        **{name: told for name, told in besides.items() if told},
    )


def tell_no_route(session: Session, result_set: ResultSet, now: datetime) -> None:
    """Tell that no route takes the study: its results stay here."""
    audit.append(
        session,
        AuditTag.STUDY_NO_ROUTE,
        actor=ACTOR,
        now=now,
        study_id=result_set.analysis.study_id,
        analysis_id=result_set.analysis_id,
    )


def delivery_with_destination(session: Session, delivery_id: UUID) -> Delivery:
    """The delivery, readable when detached."""
    return session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(joinedload(Delivery.destination), joinedload(Delivery.result_set))
    ).one()


def change_selection(
    session: Session,
    delivery_id: UUID,
    selection: Sequence[str],
    objects: Iterable[ResultObject],
    now: datetime,
) -> None:
    """Bring the destination what it wants now. `objects` are those that its set lacks for that,
    with their files in place; what has got there meanwhile stays as it is.
    """
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    # the selection may be new to another delivery of the set at the same time
    result_set = session.get_one(
        ResultSet, delivery.result_set_id, with_for_update=True, populate_existing=True
    )
    there = {made.sop_instance_uid for made in result_set.objects}
    result_set.objects += [made for made in objects if made.sop_instance_uid not in there]
    before, delivery.selection = delivery.selection, list(selection)
    session.flush()
    tell_published(session, result_set, [delivery], now, instead_of=before)


def objects_of(session: Session, delivery: Delivery) -> Sequence[ResultObject]:
    """All that the delivery is to bring, in the order of its selection: a report that arrives before
    what it refers to cannot be shown.

    Each selection has a report of its own. All else of one spec is the same in every selection.
    """
    objects = session.scalars(
        select(ResultObject).where(
            ResultObject.result_set_id == delivery.result_set_id,
            ResultObject.spec.in_(delivery.selection),
        )
    )
    return sorted(
        (made for made in objects if made.kind != "sr" or delivery.selection in made.selections),
        key=lambda made: (delivery.selection.index(made.spec), made.sop_instance_uid),
    )


def accepted_objects(
    session: Session, delivery: Delivery, accepted: Callable[[int], bool]
) -> frozenset[UUID]:
    """The ids of what the destination has taken, by what ``accepted`` says of its answers."""
    answers = session.scalars(
        select(DeliveredObject).where(DeliveredObject.delivery_id == delivery.id)
    )
    return frozenset(row.result_object_id for row in answers if accepted(row.status_code))


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


def delivered(
    session: Session, delivery_id: UUID, now: datetime, *, withdrawn: Sequence[str] = ()
) -> None:
    """The destination has it all, but for the specs ``withdrawn``, which it no longer wants."""
    delivery = _attempted(session, delivery_id)
    delivery.status, delivery.error = DeliveryStatus.DELIVERED, ""
    delivery.delivered_at = now
    besides = {"withdrawn": list(withdrawn)} if withdrawn else {}
    _tell(session, delivery, AuditTag.DELIVERY_DELIVERED, now, **besides)


def not_delivered(
    session: Session, delivery_id: UUID, error: str, now: datetime, *, given_up: bool
) -> None:
    """One attempt failed: it is tried again, or waits in the dead letter for a person."""
    delivery = _attempted(session, delivery_id)
    delivery.status = DeliveryStatus.FAILED if given_up else DeliveryStatus.RETRYING
    first = not delivery.error
    delivery.error = error[:_ERROR_CHARACTERS]
    if given_up:
        _tell(session, delivery, AuditTag.DELIVERY_FAILED, now, error=error)
    elif first:  # one line for an absent PACS, not one for each of twenty attempts
        _tell(session, delivery, AuditTag.DELIVERY_RETRYING, now, error=error)


def _attempted(session: Session, delivery_id: UUID) -> Delivery:
    delivery = session.get_one(Delivery, delivery_id, with_for_update=True, populate_existing=True)
    delivery.attempts += 1
    return delivery


def _tell(
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
