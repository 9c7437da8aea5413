"""PUBLISH: the objects of an analysis, and their way to the destinations of the matching route."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.routes import Route, Routes
from db.schema import Analysis, Delivery, Job, ResultSet, StudyStatus
from dicom.variants import build_set
from workers.destinations import keep_in_step
from workers.job import Failure, Write
from workers.objects import Made, Workshop
from workers.services import Services
from workers.stored import stored_result
from workers.wishes import OURS, Wish, read_wish, reports_before


class Publish:
    """Subject: an analysis."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def do(self, claim: Claim, now: datetime) -> Write:
        store = self._services.store
        with self._services.database.read() as session:
            if results.set_of_analysis(session, claim.subject_id):
                return _nothing
            analysis = analyses.whole(session, claim.subject_id)
            before = results.published_before(session, analysis)
        routes, study = self._services.routes.current(), analysis.study
        route = routes.route_for(study.source_ae, study.description)
        store.check_room()
        result = stored_result(analysis, store)
        workshop = Workshop(store, analysis.id, result)
        for wish in _wishes(routes, route):
            predecessors = reports_before(study, before, wish) if before else {}
            workshop.keep(wish, build_set(wish, result, predecessors))
        return lambda session, now: _write(session, analysis.id, workshop.made, routes, route, now)

    def failed(self, session: Session, job: Job, failure: Failure, now: datetime) -> None:
        analysis = session.get_one(Analysis, job.subject_id)
        if failure.given_up and analysis.study.revision == analysis.revision:
            reason = f"the results could not be published: {failure.reason}"
            analyses.fail(session, analysis.study_id, reason, now)


def _wishes(routes: Routes, route: Route | None) -> list[Wish]:
    """Each distinct one of the route's destinations, after our own."""
    names = route.destinations if route else ()
    wished = [read_wish(table.results) for table in routes.destination if table.name in names]
    return list(dict.fromkeys([OURS, *wished]))


def _write(
    session: Session,
    analysis_id: UUID,
    made: list[Made],
    routes: Routes,
    route: Route | None,
    now: datetime,
) -> None:
    analysis = session.get_one(Analysis, analysis_id)
    if analysis.study.status is StudyStatus.FAILED:  # publishing had been given up before
        analyses.settle(session, analysis_id, now)
    result_set = results.add_set(session, analysis_id, [one.row(now) for one in made], now)
    deliveries = _send(session, result_set, routes, route, now) if route else []
    results.tell_published(session, result_set, deliveries, now)
    if route is None:
        results.tell_no_route(session, result_set, now)


def _send(
    session: Session, result_set: ResultSet, routes: Routes, route: Route, now: datetime
) -> list[Delivery]:
    active = keep_in_step(session, routes.destination)
    destinations = [active[name] for name in route.destinations]
    deliveries = [
        results.add_delivery(session, result_set, to, to.results, route.name, now)
        for to in destinations
    ]
    return [delivery for delivery in deliveries if delivery]


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
