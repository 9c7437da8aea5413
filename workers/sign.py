"""SIGN: the verified report of a signed review, successor of what it speaks about."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, audit, results
from db.jobs import Claim
from db.schema import Analysis, Job, ResultKind, ResultSet, Review
from dicom.reading import open_dataset
from dicom.results import SignedReview
from workers.errors import NotYet, WorkError
from workers.job import Failure, Write
from workers.objects import Made, Workshop
from workers.publish import reference
from workers.services import Services
from workers.stored import stored_result


class Sign:
    """Subject: a signed review."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def do(self, claim: Claim, now: datetime) -> Write:
        store = self._services.store
        with self._services.database.read() as session:
            if results.set_of_review(session, claim.subject_id):
                return _nothing
            signing = _look(session, claim.subject_id)
        analysis, published = signing.analysis, signing.published
        store.check_room()
        report = Workshop(store, analysis.id).verified_report(
            stored_result(analysis, store),
            [
                open_dataset(store.path(made.file))
                for made in published.objects
                if made.kind is ResultKind.SEG
            ],
            signing.review,
            reference(analysis.study, results.report_of(signing.predecessor)),
        )
        return lambda session, now: _write(session, signing, report, now)

    def failed(self, session: Session, job: Job, failure: Failure, now: datetime) -> None:
        if not failure.given_up:
            return
        review = session.get_one(Review, job.subject_id)
        audit.append(
            session,
            "worker:review:failed",
            actor=results.ACTOR,
            now=now,
            study_id=review.analysis.study_id,
            review_id=review.id,
            reason=failure.reason,
        )


@dataclass(frozen=True)
class _Signing:
    """What a verified report is made of."""

    review: SignedReview
    analysis: Analysis
    published: ResultSet
    predecessor: ResultSet
    """What the new report takes the place of."""


def _look(session: Session, review_id: UUID) -> _Signing:
    review = session.get_one(Review, review_id)
    published = results.set_of_analysis(session, review.analysis_id)
    if published is None:
        raise NotYet("the analysis that was reviewed is not published yet")
    predecessor = published
    if review.predecessor_id is not None:
        amended = results.set_of_review(session, review.predecessor_id)
        if amended is None:
            raise NotYet("the review that this one amends is not published yet")
        predecessor = amended
    return _Signing(
        _signed(review), analyses.whole(session, review.analysis_id), published, predecessor
    )


def _signed(review: Review) -> SignedReview:
    if review.signed_at is None:
        raise WorkError("the review is not signed")
    return SignedReview(
        review_id=str(review.id),
        reader_name=review.reader.dicom_name,
        reader_organization=review.reader.organization,
        decision=review.decision.value,
        final_label=review.final_label,
        birads=review.birads,
        reason=review.reason,
        comment=review.comment,
        signed_at=review.signed_at,
    )


def _write(session: Session, signing: _Signing, report: Made, now: datetime) -> None:
    review_id = UUID(signing.review.review_id)
    result_set = results.add_set(
        session, signing.analysis.id, [report.row(now)], now, review_id=review_id
    )
    published = session.get_one(ResultSet, signing.published.id)
    sent = [
        results.add_delivery(session, result_set, before.destination, before.route, now)
        for before in published.deliveries
        if before.destination.active
    ]
    results.tell_published(session, result_set, filter(None, sent), now)


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
