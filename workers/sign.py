"""SIGN: the verified objects of a signed review, successors of what it speaks about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from db import analyses, audit, results
from db.files import FileStore
from db.jobs import Claim
from db.outlines import ReaderOutline, outlines_of
from db.schema import Analysis, Delivery, Job, ResultSet, Review
from dicom.reading import open_dataset
from dicom.results import SignedReview, StudyResult
from dicom.variants import Built, Signing, build_signed_set
from workers.errors import NotYet, WorkError
from workers.job import Failure, Write
from workers.objects import Made, Workshop
from workers.outlines import lesions_left
from workers.services import Services
from workers.stored import stored_result
from workers.wishes import OURS, Wish, in_words, read_wish, reports_before


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
        analysis = signing.analysis
        store.check_room()
        result = stored_result(analysis, store)
        signing = signing.drawn(result)
        workshop = Workshop(store, analysis.id, result, signing.review)
        for wish in dict.fromkeys([OURS, *signing.wishes.values()]):
            workshop.keep(wish, build_signed_set(wish, result, signing.of(wish, store)))
        return lambda session, now: _write(session, signing, workshop.made, now)

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
    """What the verified objects are made of."""

    review: SignedReview
    outlines: tuple[ReaderOutline, ...]
    analysis: Analysis
    published: ResultSet
    predecessor: ResultSet
    """What the new reports take the place of."""
    wishes: Mapping[UUID, Wish]
    """By delivery of what was published, where its destination still takes anything."""

    def drawn(self, result: StudyResult) -> "_Signing":
        """With the reader's outlines as lesions of the images of `result`."""
        left = lesions_left(result, self.analysis, self.outlines)
        return replace(self, review=replace(self.review, outlines=left))

    def of(self, wish: Wish, store: FileStore) -> Signing:
        return Signing(
            self.review,
            _segmentations(self.published, wish, store),
            reports_before(self.analysis.study, self.predecessor, wish),
        )


def _segmentations(published: ResultSet, wish: Wish, store: FileStore) -> Built:
    """Those that reports of `wish` may go on naming."""
    return {
        spec: [
            open_dataset(store.path(made.file))
            for made in published.objects
            if made.spec == str(spec)
        ]
        for spec in wish
        if spec.kind == "seg"
    }


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
        _signed(review),
        outlines_of(review),
        analyses.whole(session, review.analysis_id),
        published,
        predecessor,
        {
            delivery.id: read_wish(delivery.destination.results)
            for delivery in published.deliveries
            if delivery.destination.active
        },
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


def _write(session: Session, signing: _Signing, made: list[Made], now: datetime) -> None:
    result_set = results.add_set(
        session,
        signing.analysis.id,
        [one.row(now) for one in made],
        now,
        review_id=UUID(signing.review.review_id),
    )
    deliveries = (session.get_one(Delivery, each) for each in signing.wishes)
    sent = [
        results.add_delivery(
            session, result_set, before.destination, in_words(wish), before.route, now
        )
        for before, wish in zip(deliveries, signing.wishes.values(), strict=True)
    ]
    results.tell_published(session, result_set, filter(None, sent), now)


def _nothing(_session: Session, _now: datetime) -> None:
    """It was published before."""
