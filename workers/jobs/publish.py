"""PUBLISH: the objects of an analysis, and their way to the destinations of the matching route."""

import itertools
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.routes import Route, Routes
from db.schema import Analysis, Delivery, Job, ResultSet, Study, StudyStatus
from dicom.results.catalogue import build_set, find_omissions
from workers.destinations.rows import sync_destinations
from workers.errors import EarlierAnalysisPending
from workers.jobs.handler import JobFailure, SaveResult
from workers.results.saved import load_result
from workers.results.selection import (
    DEFAULT_SELECTION,
    ResultSelection,
    find_predecessors,
    parse_selection,
)
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


@dataclass(frozen=True)
class _Published:
    """What was made of an analysis, and by the text of a spec why something was not."""

    analysis_id: UUID
    before: ResultSet | None
    """What its reports name as their predecessors."""
    made: list[WrittenObject]
    left_out: dict[str, list[str]]


class Publish:
    """Subject: an analysis."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        store = self._services.store
        with self._services.database.read() as session:
            if results.find_analysis_result_set(session, claim.subject_id):
                return _nothing
            analysis = analyses.load_complete(session, claim.subject_id)
            if results.is_predecessor_pending(session, analysis):
                raise EarlierAnalysisPending
            before = results.find_published_before(session, analysis)
        routes, study = self._services.routes.current(), analysis.study
        route = routes.route_for(study.source_ae, study.description)
        store.check_free_space()
        result = load_result(analysis, store)
        result_writer = ResultWriter(store, analysis.id, result)
        selections = _selections(routes, route)
        for selection in selections:
            predecessors = find_predecessors(study, before.objects, selection) if before else {}
            result_writer.write(selection, build_set(selection, result, predecessors))
        left_out = find_omissions(itertools.chain.from_iterable(selections), result)
        published = _Published(analysis.id, before, result_writer.written, left_out)
        return lambda session, now: _write(session, published, routes, route, now)

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        analysis = session.get_one(Analysis, job.subject_id)
        if failure.given_up and analysis.study.revision == analysis.revision:
            reason = f"the results could not be published: {failure.reason}"
            analyses.fail_study(session, analysis.study_id, reason, now)


def _selections(routes: Routes, route: Route | None) -> list[ResultSelection]:
    """Each distinct one of the route's destinations, after our own."""
    names = route.destinations if route else ()
    wished = [parse_selection(table.results) for table in routes.destination if table.name in names]
    return list(dict.fromkeys([DEFAULT_SELECTION, *wished]))


def _write(
    session: Session, published: _Published, routes: Routes, route: Route | None, now: datetime
) -> None:
    """What had been given up is kept, and not sent, where a later analysis was published without
    it: its reports would arrive as the newest ones.
    """
    analysis = session.get_one(Analysis, published.analysis_id)
    # one analysis of a study at a time: each must see what the others have published
    session.get_one(Study, analysis.study_id, with_for_update=True, populate_existing=True)
    before = results.find_published_before(session, analysis)
    if before and (published.before is None or published.before.id != before.id):
        raise EarlierAnalysisPending
    if analysis.study.status is StudyStatus.FAILED:  # publishing had been given up before
        analyses.queue_publication(session, analysis.id, now)
    rows = [one.to_row(now) for one in published.made]
    result_set = results.add_result_set(session, analysis.id, rows, now)
    later = results.find_published_after(session, analysis)
    deliveries = _send(session, result_set, routes, route, now) if route and not later else []
    results.record_published(
        session,
        result_set,
        deliveries,
        now,
        left_out=published.left_out,
        superseded_by=later.analysis_id if later else None,
    )
    if route is None:
        results.record_no_route(session, result_set, now)


def _send(
    session: Session, result_set: ResultSet, routes: Routes, route: Route, now: datetime
) -> list[Delivery]:
    active = sync_destinations(session, routes.destination)
    destinations = [active[name] for name in route.destinations]
    deliveries = [
        results.add_delivery(session, result_set, to, to.results, route.name, now)
        for to in destinations
    ]
    return [delivery for delivery in deliveries if delivery]


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
