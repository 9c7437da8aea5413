"""Job kind DELIVER: send the objects of a result set to one destination."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.schema import Delivery, Job, ResultObject
from dicom.results.catalogue import build_set, parse_spec
from dicom.results.result_kind import ResultRole
from workers.destinations.kind import SendOutcome
from workers.destinations.registry import find_kind
from workers.destinations.rows import sync_destinations
from workers.destinations.statuses import is_accepted
from workers.errors import DeliveryIncomplete, DestinationRemoved, SelectionNotAvailable
from workers.jobs.handler import JobFailure, SaveResult
from workers.results.loading import load_result
from workers.results.selection import find_predecessors, parse_selection, selection_as_text
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


@dataclass(frozen=True)
class _DeliveryState:
    """A delivery with its objects, of which some may have been accepted by earlier attempts."""

    delivery: Delivery
    objects: Sequence[ResultObject]
    accepted: Collection[UUID]

    @property
    def is_signed(self) -> bool:
        return self.delivery.result_set.review_id is not None

    @property
    def selection(self) -> Sequence[str]:
        """The result specs that the destination selects now.

        The delivery keeps its own if only a new release of Sonogate changed what the routes file
        stands for. The objects of a signed review keep the variants that were reviewed. Only kinds
        that the destination no longer selects are withdrawn.
        """
        destination = self.delivery.destination
        if self.delivery.selection in destination.former_results:
            return self.delivery.selection
        selected: Sequence[str] = destination.results
        if not self.is_signed:
            return selected
        kinds = {parse_spec(spec).kind for spec in selected}
        return [spec for spec in self.delivery.selection if parse_spec(spec).kind in kinds]

    @property
    def pending(self) -> list[ResultObject]:
        """The objects that the destination has not accepted."""
        return [obj for obj in self.objects if obj.id not in self.accepted]

    @property
    def to_send(self) -> list[ResultObject]:
        return [obj for obj in self.pending if obj.spec in self.selection]

    @property
    def withdrawn(self) -> list[str]:
        """The specs that the destination selected before, and no longer does."""
        return sorted({obj.spec for obj in self.pending if obj.spec not in self.selection})

    @property
    def is_outdated(self) -> bool:
        """Whether objects of another selection must be created."""
        changed = self.delivery.selection != self.selection
        return bool(self.pending) and not self.is_signed and changed


class DeliverHandler:
    """Sends what the destination has not accepted yet. The subject of the job is the delivery."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        state = self._load_current(claim.subject_id, now)
        delivery, objects = state.delivery, state.to_send
        if state.pending and not any(obj.spec in state.selection for obj in state.objects):
            raise SelectionNotAvailable(delivery.selection, delivery.destination.results)
        outcomes = self._send(delivery, objects) if objects else []
        statuses = {
            obj.id: outcome.status
            for obj, outcome in zip(objects, outcomes, strict=True)
            if outcome.status is not None
        }
        refused = [outcome for outcome in outcomes if not outcome.accepted]
        if refused:
            problems = "; ".join(sorted({outcome.problem for outcome in refused}))
            raise DeliveryIncomplete(
                f"{len(refused)} of {len(outcomes)} objects not accepted: {problems}",
                permanent=all(outcome.permanent for outcome in refused),
                statuses=statuses,
            )

        def save(session: Session, now: datetime) -> None:
            results.record_store_statuses(session, delivery.id, statuses, now)
            results.record_delivered(session, delivery.id, now, withdrawn=state.withdrawn)

        return save

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        if isinstance(failure.error, DeliveryIncomplete):
            results.record_store_statuses(session, job.subject_id, failure.error.statuses, now)
        results.record_not_delivered(
            session, job.subject_id, failure.reason, now, given_up=failure.given_up
        )

    def _load_current(self, delivery_id: UUID, now: datetime) -> _DeliveryState:
        """Load the delivery, updated with changes of the routes file since it was queued."""
        with self._services.database.write() as session:
            sync_destinations(session, self._services.routes.current().destination)
            state = _load_state(session, delivery_id)
        if not state.delivery.destination.active:
            raise DestinationRemoved
        if not state.is_outdated:
            return state
        self._update_selection(state, now)
        with self._services.database.read() as session:
            return _load_state(session, delivery_id)

    def _update_selection(self, state: _DeliveryState, now: datetime) -> None:
        """Create the objects that the destination selects now from the same analysis, unless they
        exist already.
        """
        delivery, selection = state.delivery, list(state.selection)
        with self._services.database.read() as session:
            result_set = results.find_analysis_result_set(session, delivery.result_set.analysis_id)
        assert result_set is not None
        existing = result_set.objects
        written: list[WrittenObject] = []
        if not any(selection in obj.selections for obj in existing):
            written = self._create_objects(state, existing)
        specs = {obj.spec for obj in existing} | {new.spec.explicit_text for new in written}
        if specs.isdisjoint(selection):
            raise SelectionNotAvailable(delivery.selection, selection)
        rows = [new.to_row(now) for new in written]
        with self._services.database.write() as session:
            results.update_selection(session, delivery.id, selection, rows, now)

    def _create_objects(
        self, state: _DeliveryState, existing: Sequence[ResultObject]
    ) -> list[WrittenObject]:
        """Write the objects of the new selection.

        A report that the destination has accepted becomes their predecessor: it may name
        segmentations that were never sent.
        """
        store, selection = self._services.store, parse_selection(state.selection)
        with self._services.database.read() as session:
            analysis = analyses.load_complete(session, state.delivery.result_set.analysis_id)
            before = results.find_published_before(session, analysis)
        store.check_free_space()
        result = load_result(analysis, store)
        accepted = [obj for obj in state.objects if obj.id in state.accepted]
        predecessors = find_predecessors(analysis.study, accepted, selection)
        if not predecessors and before:
            predecessors = find_predecessors(analysis.study, before.objects, selection)
        result_writer = ResultWriter(
            store, analysis.id, result, existing_uids=[obj.sop_instance_uid for obj in existing]
        )
        edition = " ".join(selection_as_text(selection))
        result_writer.write(selection, build_set(selection, result, predecessors, edition))
        return result_writer.written

    def _send(self, delivery: Delivery, objects: Sequence[ResultObject]) -> list[SendOutcome]:
        destination, store = delivery.destination, self._services.store
        options = self._services.settings.send_options
        client = find_kind(destination.kind).open_client(destination.settings, options)
        return client.send([store.path(obj.file) for obj in objects])


def _load_state(session: Session, delivery_id: UUID) -> _DeliveryState:
    delivery = results.load_delivery(session, delivery_id)
    reports = [spec for spec in delivery.selection if parse_spec(spec).role is ResultRole.REPORT]
    return _DeliveryState(
        delivery,
        results.list_delivery_objects(session, delivery, reports),
        results.find_accepted_objects(session, delivery, is_accepted),
    )
