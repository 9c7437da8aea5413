"""PUBLISH: SEG and SR of an analysis, and their way to the destinations of the matching route."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, results
from db.jobs import Claim
from db.routes import Route, Routes
from db.schema import Analysis, Delivery, Job, ResultObject, ResultSet, Study, StudyStatus
from dicom.results import ReportReference
from workers.destinations import keep_in_step
from workers.job import Failure, Write
from workers.objects import Made, Workshop
from workers.services import Services
from workers.stored import stored_result


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
        predecessor = reference(analysis.study, results.report_of(before)) if before else None
        store.check_room()
        workshop = Workshop(store, analysis.id)
        made = workshop.results(stored_result(analysis, store, predecessor))
        return lambda session, now: self._write(session, analysis.id, made, now)

    def _write(self, session: Session, analysis_id: UUID, made: list[Made], now: datetime) -> None:
        analysis = session.get_one(Analysis, analysis_id)
        if analysis.study.status is StudyStatus.FAILED:  # publishing had been given up before
            analyses.settle(session, analysis_id, now)
        result_set = results.add_set(session, analysis_id, [one.row(now) for one in made], now)
        routes, study = self._services.routes.current(), analysis.study
        route = routes.route_for(study.source_ae, study.description)
        deliveries = self._send(session, result_set, routes, route, now) if route else []
        results.tell_published(session, result_set, deliveries, now)
        if route is None:
            results.tell_no_route(session, result_set, now)

    def _send(
        self,
        session: Session,
        result_set: ResultSet,
        routes: Routes,
        route: Route,
        now: datetime,
    ) -> list[Delivery]:
        destinations = keep_in_step(session, routes.destination)
        deliveries = [
            results.add_delivery(session, result_set, destinations[name], route.name, now)
            for name in route.destinations
        ]
        return [delivery for delivery in deliveries if delivery]

    def failed(self, session: Session, job: Job, failure: Failure, now: datetime) -> None:
        analysis = session.get_one(Analysis, job.subject_id)
        if failure.given_up and analysis.study.revision == analysis.revision:
            reason = f"the results could not be published: {failure.reason}"
            analyses.fail(session, analysis.study_id, reason, now)


def reference(study: Study, report: ResultObject) -> ReportReference:
    """How a successor names a report of ours."""
    return ReportReference(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=report.series_instance_uid,
        sop_class_uid=report.sop_class_uid,
        sop_instance_uid=report.sop_instance_uid,
    )


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
