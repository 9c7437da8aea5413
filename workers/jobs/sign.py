"""Job kind SIGN: create the verified report and edited segmentations of a signed review."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, audit, jobs, results, reviews
from db.audit_tags import AuditTag
from db.files import FileStore
from db.jobs import Claim
from db.outlines import ReaderOutline, load_outlines
from db.schema import Analysis, Delivery, Job, JobKind, ResultSet, Review
from dicom.files import read_without_pixels
from dicom.results.catalogue import build_signed_set
from dicom.results.model import ReportReference, SignedReview
from dicom.results.result_kind import BuiltObjects, ResultRole, ResultSpec, SigningInputs
from workers.errors import PrerequisitePending, WorkError
from workers.jobs.handler import JobFailure, SaveResult, save_nothing
from workers.results.loading import load_result
from workers.results.reader_lesions import build_reviewed_lesions
from workers.results.selection import (
    DEFAULT_SELECTION,
    ResultSelection,
    find_predecessors,
    find_signed_predecessors,
    parse_selection,
)
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


class SignHandler:
    """Publishes a signed review, which is the subject of the job."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        store = self._services.store
        with self._services.database.read() as session:
            if results.find_review_result_set(session, claim.subject_id):
                return save_nothing
            sources = _load_sources(session, claim.subject_id)
        analysis = sources.analysis
        store.check_free_space()
        result = load_result(analysis, store)
        lesions = build_reviewed_lesions(result, analysis, sources.outlines)
        review = replace(sources.review, outlines=lesions)
        result_writer = ResultWriter(store, analysis.id, result, review)
        for selection in sources.list_selections():
            signing = sources.to_signing_inputs(review, selection, store)
            result_writer.write(selection, build_signed_set(selection, result, signing))
        return lambda session, now: _save(session, sources, result_writer.written, now)

    def on_failure(self, session: Session, job: Job, failure: JobFailure, now: datetime) -> None:
        if not failure.given_up:
            return
        review = session.get_one(Review, job.subject_id)
        audit.append(
            session,
            AuditTag.REVIEW_FAILED,
            actor=results.ACTOR,
            now=now,
            study_id=review.analysis.study_id,
            review_id=review.id,
            reason=failure.reason,
        )


@dataclass(frozen=True)
class _SigningSources:
    """What the objects of a signed review are created from."""

    review: SignedReview
    outlines: tuple[ReaderOutline, ...]
    analysis: Analysis
    published: ResultSet
    """The results that were reviewed."""
    predecessor: ResultSet
    """The result set that the new reports replace."""
    earlier: ResultSet | None
    """The signed results of an earlier revision of the study, which they replace too."""

    def list_selections(self) -> list[ResultSelection]:
        """Return the default selection, and those with which the reviewed results were delivered.

        The present selections of destinations do not count: a report must not name a segmentation
        that its destination never received.
        """
        delivered = (parse_selection(delivery.selection) for delivery in self.published.deliveries)
        return list(dict.fromkeys([DEFAULT_SELECTION, *delivered]))

    def to_signing_inputs(
        self, review: SignedReview, selection: ResultSelection, store: FileStore
    ) -> SigningInputs:
        segmentations: BuiltObjects = {
            spec: [
                read_without_pixels(store.path(obj.file))
                for obj in self.published.objects
                if obj.spec == spec.explicit_text
            ]
            for spec in selection
            if spec.role is ResultRole.SEGMENTATION
        }
        return SigningInputs(
            review,
            segmentations,
            find_predecessors(self.analysis.study, self.predecessor.objects, selection),
            self._find_earlier_reports(selection),
        )

    def _find_earlier_reports(
        self, selection: ResultSelection
    ) -> Mapping[ResultSpec, Sequence[ReportReference]]:
        """Return the reports of `earlier` at the destinations of this selection."""
        if self.earlier is None:
            return {}
        destination_ids = {
            delivery.destination_id
            for delivery in self.published.deliveries
            if parse_selection(delivery.selection) == selection
        }
        selections = {
            parse_selection(delivery.selection)
            for delivery in self.earlier.deliveries
            if delivery.destination_id in destination_ids
        }
        return find_signed_predecessors(
            self.analysis.study, self.earlier.objects, selection, selections
        )


def _load_sources(session: Session, review_id: UUID) -> _SigningSources:
    review = session.get_one(Review, review_id)
    published = results.find_analysis_result_set(session, review.analysis_id)
    if published is None:
        raise PrerequisitePending("the reviewed analysis is not published yet")
    predecessor, earlier = published, None
    if review.predecessor_id is None:
        earlier = _find_earlier_signed(session, review)
    else:  # an amendment: the review that it amends names the earlier results
        amended = results.find_review_result_set(session, review.predecessor_id)
        if amended is None:
            raise PrerequisitePending("the amended review is not published yet")
        predecessor = amended
    return _SigningSources(
        _to_signed_review(review),
        load_outlines(review),
        analyses.load_complete(session, review.analysis_id),
        published,
        predecessor,
        earlier,
    )


def _find_earlier_signed(session: Session, review: Review) -> ResultSet | None:
    """Return the newest signed results of an earlier revision of the study."""
    for earlier in reviews.iter_earlier_signed(session, review.analysis):
        signed = results.find_review_result_set(session, earlier.id)
        if signed is not None:
            return signed
        if jobs.is_pending(session, JobKind.SIGN, earlier.id):
            raise PrerequisitePending(
                "the signed review of an earlier revision of the study is not published yet"
            )
    return None


def _to_signed_review(review: Review) -> SignedReview:
    if review.signed_at is None:
        raise WorkError("the review is not signed")
    return SignedReview(
        review_id=str(review.id),
        reader_name=review.reader.dicom_name,
        reader_organization=review.reader.organization,
        reader_id=review.reader.username,
        decision=review.decision.value,
        final_label=review.final_label,
        birads=review.birads,
        reason=review.reason,
        comment=review.comment,
        signed_at=review.signed_at,
    )


def _save(
    session: Session, sources: _SigningSources, written: list[WrittenObject], now: datetime
) -> None:
    """Add the result set, and a delivery to each destination of the reviewed results. A
    destination that was removed from the routes file is included: its delivery is retried.
    """
    deliveries = [
        session.get_one(Delivery, delivery.id) for delivery in sources.published.deliveries
    ]
    selections = sources.list_selections()
    if any(parse_selection(delivery.selection) not in selections for delivery in deliveries):
        raise PrerequisitePending("the selection of a destination has just changed")
    result_set = results.add_result_set(
        session,
        sources.analysis.id,
        [obj.to_row(now) for obj in written],
        now,
        review_id=UUID(sources.review.review_id),
    )
    # A job that was given up and retried must not deliver its report as the newest one.
    later = results.find_signed_after(session, sources.analysis)
    added = [
        results.add_delivery(
            session, result_set, reviewed.destination, reviewed.selection, reviewed.route, now
        )
        for reviewed in deliveries
        if later is None
    ]
    results.record_published(
        session,
        result_set,
        filter(None, added),
        now,
        superseded_by=later.analysis_id if later else None,
    )
