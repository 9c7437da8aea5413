"""DELIVER: the objects of a result set to one destination, over one association."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import results
from db.jobs import Claim
from db.schema import Destination, Job, ResultObject
from workers.destinations import keep_in_step
from workers.errors import DeliveryIncomplete, NoDestination
from workers.job import Failure, Write
from workers.services import Services
from workers.store_client import Peer, SendOutcome, is_accepted, send


class Deliver:
    """Subject: a delivery. An attempt sends what the destination has not accepted so far."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def do(self, claim: Claim, now: datetime) -> Write:
        with self._services.database.write() as session:
            # what a person corrected or struck off since this was queued holds for this attempt
            keep_in_step(session, self._services.routes.current().destination)
            delivery = results.delivery_with_destination(session, claim.subject_id)
            objects = results.objects_due(session, delivery, is_accepted)
        if not delivery.destination.active:
            raise NoDestination
        outcomes = self._send(delivery.destination, objects)
        statuses = {
            made.id: outcome.status
            for made, outcome in zip(objects, outcomes, strict=True)
            if outcome.status is not None
        }
        refused = [outcome for outcome in outcomes if not outcome.accepted]
        if refused:
            raise DeliveryIncomplete(
                _summary(refused, len(outcomes)),
                permanent=all(outcome.permanent for outcome in refused),
                statuses=statuses,
            )
        return lambda session, now: _write(session, delivery.id, statuses, now)

    def _send(
        self, destination: Destination, objects: Sequence[ResultObject]
    ) -> Sequence[SendOutcome]:
        if not objects:
            return []
        settings, store = self._services.settings, self._services.store
        return send(
            [store.path(made.file) for made in objects],
            Peer(destination.ae_title, destination.host, destination.port),
            calling_ae=settings.ae_title,
            connect_seconds=settings.delivery_connect_seconds,
            answer_seconds=settings.delivery_answer_seconds,
        )

    def failed(self, session: Session, job: Job, failure: Failure, now: datetime) -> None:
        if isinstance(failure.error, DeliveryIncomplete):
            results.record_answers(session, job.subject_id, failure.error.statuses, now)
        results.not_delivered(
            session, job.subject_id, failure.reason, now, given_up=failure.given_up
        )


def _summary(refused: Sequence[SendOutcome], sent: int) -> str:
    problems = "; ".join(sorted({outcome.problem for outcome in refused}))
    return f"{len(refused)} of {sent} objects not taken: {problems}"


def _write(
    session: Session, delivery_id: UUID, statuses: Mapping[UUID, int], now: datetime
) -> None:
    results.record_answers(session, delivery_id, statuses, now)
    results.delivered(session, delivery_id, now)
