"""SIGN: the verified objects of a signed review, successors of what it speaks about."""

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
from dicom.results.model import ReportReference, SignedReview, StudyResult
from dicom.results.result_kind import BuiltObjects, ResultSpec, Role, SigningInputs
from workers.errors import PrerequisitePending, WorkError
from workers.jobs.handler import JobFailure, SaveResult
from workers.results.reader_lesions import build_reviewed_lesions
from workers.results.saved import load_result
from workers.results.selection import (
    DEFAULT_SELECTION,
    ResultSelection,
    find_predecessors,
    find_signed_predecessors,
    parse_selection,
)
from workers.results.writer import ResultWriter, WrittenObject
from workers.services import WorkerServices


class Sign:
    """Subject: a signed review."""

    def __init__(self, services: WorkerServices) -> None:
        self._services = services

    def handle(self, claim: Claim, now: datetime) -> SaveResult:
        store = self._services.store
        with self._services.database.read() as session:
            if results.find_review_result_set(session, claim.subject_id):
                return _nothing
            signing = _look(session, claim.subject_id)
        analysis = signing.analysis
        store.check_free_space()
        result = load_result(analysis, store)
        signing = signing.drawn(result)
        result_writer = ResultWriter(store, analysis.id, result, signing.review)
        for selection in signing.selections():
            result_writer.write(
                selection, build_signed_set(selection, result, signing.of(selection, store))
            )
        return lambda session, now: _write(session, signing, result_writer.written, now)

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
class _Signing:
    """What the verified objects are made of."""

    review: SignedReview
    outlines: tuple[ReaderOutline, ...]
    analysis: Analysis
    published: ResultSet
    predecessor: ResultSet
    """What the new reports take the place of."""
    earlier: ResultSet | None
    """What was signed of the study before images came late: they take the place of that too."""

    def drawn(self, result: StudyResult) -> "_Signing":
        """With the reader's outlines as lesions of the images of `result`."""
        left = build_reviewed_lesions(result, self.analysis, self.outlines)
        return replace(self, review=replace(self.review, outlines=left))

    def selections(self) -> list[ResultSelection]:
        """Our own, and those by which destinations got what was reviewed.

        Not those of today: a report may name no segmentation that its destination never got.
        """
        got = (parse_selection(delivery.selection) for delivery in self.published.deliveries)
        return list(dict.fromkeys([DEFAULT_SELECTION, *got]))

    def of(self, selection: ResultSelection, store: FileStore) -> SigningInputs:
        return SigningInputs(
            self.review,
            _segmentations(self.published, selection, store),
            find_predecessors(self.analysis.study, self.predecessor.objects, selection),
            self._earlier(selection),
        )

    def _earlier(
        self, selection: ResultSelection
    ) -> Mapping[ResultSpec, Sequence[ReportReference]]:
        if self.earlier is None:
            return {}
        there = {
            delivery.destination_id
            for delivery in self.published.deliveries
            if parse_selection(delivery.selection) == selection
        }
        had = {
            parse_selection(delivery.selection)
            for delivery in self.earlier.deliveries
            if delivery.destination_id in there
        }
        return find_signed_predecessors(self.analysis.study, self.earlier.objects, selection, had)


def _segmentations(
    published: ResultSet, selection: ResultSelection, store: FileStore
) -> BuiltObjects:
    """Those that reports of `selection` may go on naming."""
    return {
        spec: [
            read_without_pixels(store.path(made.file))
            for made in published.objects
            if made.spec == str(spec)
        ]
        for spec in selection
        if spec.role is Role.SEGMENTATION
    }


def _look(session: Session, review_id: UUID) -> _Signing:
    review = session.get_one(Review, review_id)
    published = results.find_analysis_result_set(session, review.analysis_id)
    if published is None:
        raise PrerequisitePending("the analysis that was reviewed is not published yet")
    return _Signing(
        _signed(review),
        load_outlines(review),
        analyses.load_complete(session, review.analysis_id),
        published,
        _amended(session, review) or published,
        _signed_earlier(session, review),
    )


def _amended(session: Session, review: Review) -> ResultSet | None:
    if review.predecessor_id is None:
        return None
    amended = results.find_review_result_set(session, review.predecessor_id)
    if amended is None:
        raise PrerequisitePending("the review that this one amends is not published yet")
    return amended


def _signed_earlier(session: Session, review: Review) -> ResultSet | None:
    """None for an amendment: the review that it amends has named it."""
    if review.predecessor_id is not None:
        return None
    for earlier in reviews.iter_earlier_signed(session, review.analysis):
        signed = results.find_review_result_set(session, earlier.id)
        if signed is not None:
            return signed
        if jobs.is_pending(session, JobKind.SIGN, earlier.id):
            raise PrerequisitePending(
                "the review of the study before images came late is not published yet"
            )
    return None


def _signed(review: Review) -> SignedReview:
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


def _write(session: Session, signing: _Signing, made: list[WrittenObject], now: datetime) -> None:
    # Also where a destination is out of the routes file just now: delivering waits for it.
    went = [session.get_one(Delivery, each.id) for each in signing.published.deliveries]
    if any(parse_selection(each.selection) not in signing.selections() for each in went):
        raise PrerequisitePending("what a destination gets of the analysis has just changed")
    result_set = results.add_result_set(
        session,
        signing.analysis.id,
        [one.to_row(now) for one in made],
        now,
        review_id=UUID(signing.review.review_id),
    )
    # One that was given up and is brought back must not arrive as the newest.
    later = results.find_signed_after(session, signing.analysis)
    sent = [
        results.add_delivery(session, result_set, each.destination, each.selection, each.route, now)
        for each in went
        if later is None
    ]
    results.record_published(
        session,
        result_set,
        filter(None, sent),
        now,
        superseded_by=later.analysis_id if later else None,
    )


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
