"""Job kind PUBLISH: create the result objects of an analysis and queue their deliveries."""

import itertools
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.routes import Route, Routes
from db.schema import Analysis, Job, ResultSet, Study, StudyStatus
from dicom.results.catalogue import build_set, find_omissions
from workers.destinations.rows import sync_destinations
from workers.errors import EarlierAnalysisPending
from workers.jobs.handler import JobFailure, SaveResult, save_nothing
from workers.results.loading import load_result
from workers.results.selection import (
    DEFAULT_SELECTION,
    find_predecessors,
    select_results,
)
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


class PublishHandler:
    """Publishes the results of an analysis, which is the subject of the job."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        store = self._services.store
        with self._services.database.read() as session:
            if results.find_analysis_result_set(session, claim.subject_id):
                return save_nothing
            analysis = analyses.load_complete(session, claim.subject_id)
            if results.is_predecessor_pending(session, analysis):
                raise EarlierAnalysisPending
            before = results.find_published_before(session, analysis)
        routes, study = self._services.routes.current(), analysis.study
        route = routes.route_for(study.source_ae, study.description)
        store.check_free_space()
        result = load_result(analysis, store)
        result_writer = ResultWriter(store, analysis.id, result)
        names = route.destinations if route else ()
        tables = [table for table in routes.destination if table.name in names]
        selections = list(dict.fromkeys([DEFAULT_SELECTION, *map(select_results, tables)]))
        for selection in selections:
            predecessors = find_predecessors(study, before.objects, selection) if before else {}
            result_writer.write(selection, build_set(selection, result, predecessors))
        left_out = find_omissions(itertools.chain.from_iterable(selections), result)
        publication = _Publication(
            analysis.id, before, result_writer.written, left_out, routes, route
        )
        return publication.save

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        analysis = session.get_one(Analysis, job.subject_id)
        if failure.given_up and analysis.study.revision == analysis.revision:
            reason = f"the results could not be published: {failure.reason}"
            analyses.fail_study(session, analysis.study_id, reason, now)


@dataclass(frozen=True)
class _Publication:
    """The result objects of an analysis, and where to send them."""

    analysis_id: UUID
    before: ResultSet | None
    """The result set that the reports name as their predecessor."""
    objects: list[WrittenObject]
    left_out: dict[str, list[str]]
    """Why objects could not be created, by result spec."""
    routes: Routes
    route: Route | None

    def save(self, session: Session, now: datetime) -> None:
        """Add the result set and its deliveries.

        Results are stored and not sent if a later analysis was published meanwhile: their reports
        would arrive as the newest ones.
        """
        analysis = session.get_one(Analysis, self.analysis_id)
        # Lock the study: each analysis must know which others have been published.
        session.get_one(Study, analysis.study_id, with_for_update=True, populate_existing=True)
        before = results.find_published_before(session, analysis)
        if before and (self.before is None or self.before.id != before.id):
            raise EarlierAnalysisPending
        if analysis.study.status is StudyStatus.FAILED:  # publishing was given up before
            analyses.queue_publication(session, analysis.id, now)
        rows = [written.to_row(now) for written in self.objects]
        result_set = results.add_result_set(session, analysis.id, rows, now)
        later = results.find_published_after(session, analysis)
        deliveries = []
        if self.route and not later:
            active = sync_destinations(session, self.routes.destination)
            for destination in [active[name] for name in self.route.destinations]:
                delivery = results.add_delivery(
                    session, result_set, destination, destination.results, self.route.name, now
                )
                if delivery:
                    deliveries.append(delivery)
        results.record_published(
            session,
            result_set,
            deliveries,
            now,
            left_out=self.left_out,
            superseded_by=later.analysis_id if later else None,
        )
        if self.route is None:
            results.record_no_route(session, result_set, now)
