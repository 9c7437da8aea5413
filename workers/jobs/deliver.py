"""DELIVER: the objects of a result set to one destination, over one association."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.schema import Delivery, Destination, Job, ResultObject
from dicom.results.catalogue import build_set, parse_spec
from dicom.results.result_kind import Role
from workers.destinations.kind import SendOutcome
from workers.destinations.registry import find_kind
from workers.destinations.rows import sync_destinations
from workers.destinations.statuses import is_accepted
from workers.errors import DeliveryIncomplete, DestinationRemoved, SelectionNotAvailable
from workers.jobs.handler import JobFailure, SaveResult
from workers.results.saved import load_result
from workers.results.selection import find_predecessors, parse_selection, selection_as_text
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


@dataclass(frozen=True)
class _Order:
    """What one destination is to get, and what it has of that."""

    delivery: Delivery
    objects: Sequence[ResultObject]
    accepted: Collection[UUID]

    @property
    def wanted(self) -> Sequence[str]:
        """What the destination wants today.

        What goes with a signed report is as what was reviewed, and follows it in every variant of
        a kind that is wanted still.
        """
        results: Sequence[str] = self.delivery.destination.results
        if not self.signed:
            return results
        kinds = {parse_spec(spec).kind for spec in results}
        return [spec for spec in self.delivery.selection if parse_spec(spec).kind in kinds]

    @property
    def signed(self) -> bool:
        return self.delivery.result_set.review_id is not None

    @property
    def left(self) -> list[ResultObject]:
        return [made for made in self.objects if made.id not in self.accepted]

    @property
    def due(self) -> list[ResultObject]:
        return [made for made in self.left if made.spec in self.wanted]

    @property
    def withdrawn(self) -> list[str]:
        return sorted({made.spec for made in self.left if made.spec not in self.wanted})

    @property
    def outdated(self) -> bool:
        """Whether something else has to be made; never of what goes with a signed report."""
        return bool(self.left) and not self.signed and self.delivery.selection != self.wanted


class Deliver:
    """Subject: a delivery. An attempt sends what the destination has not accepted so far."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        order = self._up_to_date(claim.subject_id, now)
        if order.left and not any(made.spec in order.wanted for made in order.objects):
            raise SelectionNotAvailable(
                order.delivery.selection, order.delivery.destination.results
            )
        outcomes = self._send(order.delivery.destination, order.due)
        statuses = {
            made.id: outcome.status
            for made, outcome in zip(order.due, outcomes, strict=True)
            if outcome.status is not None
        }
        refused = [outcome for outcome in outcomes if not outcome.accepted]
        if refused:
            raise DeliveryIncomplete(
                _summary(refused, len(outcomes)),
                permanent=all(outcome.permanent for outcome in refused),
                statuses=statuses,
            )
        return lambda session, now: _write(session, order, statuses, now)

    def _up_to_date(self, delivery_id: UUID, now: datetime) -> _Order:
        """What a person corrected or struck off since it was queued holds for this attempt."""
        with self._services.database.write() as session:
            sync_destinations(session, self._services.routes.current().destination)
            order = _order(session, delivery_id)
        if not order.delivery.destination.active:
            raise DestinationRemoved
        if not order.outdated:
            return order
        self._make_anew(order, now)
        with self._services.database.read() as session:
            return _order(session, delivery_id)

    def _make_anew(self, order: _Order, now: datetime) -> None:
        """Make what the destination wants now of the same analysis, where that is not there yet.

        A report that it took already is succeeded: it may name segmentations that never came.
        """
        delivery, selection = order.delivery, list(order.wanted)
        with self._services.database.read() as session:
            result_set = results.find_analysis_result_set(session, delivery.result_set.analysis_id)
        assert result_set is not None
        there = result_set.objects
        made = (
            [] if any(selection in each.selections for each in there) else self._build(order, there)
        )
        specs = {each.spec for each in there} | {str(each.spec) for each in made}
        if specs.isdisjoint(selection):
            raise SelectionNotAvailable(delivery.selection, selection)
        rows = [each.to_row(now) for each in made]
        with self._services.database.write() as session:
            results.update_selection(session, delivery.id, selection, rows, now)

    def _build(self, order: _Order, there: Sequence[ResultObject]) -> list[WrittenObject]:
        store, selection = self._services.store, parse_selection(order.wanted)
        with self._services.database.read() as session:
            analysis = analyses.load_complete(session, order.delivery.result_set.analysis_id)
            before = results.find_published_before(session, analysis)
        store.check_free_space()
        result = load_result(analysis, store)
        had = [made for made in order.objects if made.id in order.accepted]
        predecessors = find_predecessors(analysis.study, had, selection) or (
            find_predecessors(analysis.study, before.objects, selection) if before else {}
        )
        result_writer = ResultWriter(
            store, analysis.id, result, existing_uids=[row.sop_instance_uid for row in there]
        )
        edition = " ".join(selection_as_text(selection))
        result_writer.write(selection, build_set(selection, result, predecessors, edition))
        return result_writer.written

    def _send(
        self, destination: Destination, objects: Sequence[ResultObject]
    ) -> Sequence[SendOutcome]:
        if not objects:
            return []
        options, store = self._services.settings.send_options, self._services.store
        client = find_kind(destination.kind).open_client(destination.settings, options)
        return client.send([store.path(made.file) for made in objects])

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        if isinstance(failure.error, DeliveryIncomplete):
            results.record_store_statuses(session, job.subject_id, failure.error.statuses, now)
        results.record_not_delivered(
            session, job.subject_id, failure.reason, now, given_up=failure.given_up
        )


def _order(session: Session, delivery_id: UUID) -> _Order:
    delivery = results.load_delivery(session, delivery_id)
    reports = [spec for spec in delivery.selection if parse_spec(spec).role is Role.REPORT]
    return _Order(
        delivery,
        results.list_delivery_objects(session, delivery, reports),
        results.find_accepted_objects(session, delivery, is_accepted),
    )


def _summary(refused: Sequence[SendOutcome], sent: int) -> str:
    problems = "; ".join(sorted({outcome.problem for outcome in refused}))
    return f"{len(refused)} of {sent} objects not taken: {problems}"


def _write(session: Session, order: _Order, statuses: Mapping[UUID, int], now: datetime) -> None:
    results.record_store_statuses(session, order.delivery.id, statuses, now)
    results.record_delivered(session, order.delivery.id, now, withdrawn=order.withdrawn)
