from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import results
from db.engine import Database
from db.schema import (
    Analysis,
    AnalysisStatus,
    AuditEvent,
    DeliveredObject,
    Delivery,
    DeliveryStatus,
    Destination,
    Job,
    JobKind,
    ResultKind,
    ResultObject,
    Study,
    StudyStatus,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def add_analysis(
    session: Session, study_id: UUID, digest: str, predecessor_id: UUID | None = None
) -> Analysis:
    analysis = Analysis(
        id=uuid4(), study_id=study_id, revision=1, study_digest=digest * 64,
        pipeline_version="1", classifier_digest="a" * 64, segmenter_digest="b" * 64,
        status=AnalysisStatus.DONE, predecessor_id=predecessor_id, started_at=NOW,
        finished_at=NOW,
    )  # fmt: skip
    session.add(analysis)
    session.flush()
    return analysis


@pytest.fixture
def analysis(database: Database) -> Analysis:
    study = Study(
        id=uuid4(), study_instance_uid="1.2", source_ae="A", received_at=NOW,
        last_instance_at=NOW, revision=1, status=StudyStatus.ANALYSED,
    )  # fmt: skip
    with database.write() as session:
        session.add(study)
        session.flush()
        return add_analysis(session, study.id, "a")


def made(kind: ResultKind) -> ResultObject:
    uid = f"2.25.{uuid4().int}"
    return ResultObject(
        id=uuid4(), kind=kind, sop_class_uid="1.2", sop_instance_uid=uid,
        series_instance_uid="2.25.1", file=uid, sha256="c" * 64, size_bytes=1, created_at=NOW,
    )  # fmt: skip


def destination(session: Session, *kinds: str) -> Destination:
    row = Destination(
        id=uuid4(), name=f"d{uuid4().hex[:6]}", ae_title="PACS", host="h", port=104,
        results=list(kinds),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


@pytest.fixture
def delivery_id(database: Database, analysis: Analysis) -> UUID:
    """A SEG and an SR on their way to a destination that wants both."""
    with database.write() as session:
        objects = [made(ResultKind.SR), made(ResultKind.SEG)]
        result_set = results.add_set(session, analysis.id, objects, NOW)
        delivery = results.add_delivery(
            session, result_set, destination(session, "seg", "sr"), "route", NOW
        )
        assert delivery is not None
        return delivery.id


def due(session: Session, delivery_id: UUID) -> list[ResultKind]:
    delivery = results.delivery_with_destination(session, delivery_id)
    return [row.kind for row in results.objects_due(session, delivery, lambda status: status == 0)]


def test_an_analysis_has_one_set_of_its_own(database: Database, analysis: Analysis) -> None:
    with database.write() as session:
        results.add_set(session, analysis.id, [made(ResultKind.SR)], NOW)
    with pytest.raises(IntegrityError), database.write() as session:
        results.add_set(session, analysis.id, [made(ResultKind.SR)], NOW)


def test_the_report_of_a_set_is_its_sr(database: Database, analysis: Analysis) -> None:
    report = made(ResultKind.SR)
    with database.write() as session:
        results.add_set(session, analysis.id, [made(ResultKind.SEG), report], NOW)
    with database.read() as session:
        found = results.set_of_analysis(session, analysis.id)
    assert found is not None
    assert results.report_of(found).id == report.id


def test_the_nearest_published_analysis_comes_before(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        first = results.add_set(session, analysis.id, [made(ResultKind.SR)], NOW)
        unpublished = add_analysis(session, analysis.study_id, "b", analysis.id)
        third = add_analysis(session, analysis.study_id, "c", unpublished.id)
        found = results.published_before(session, third)
        assert found is not None
        assert found.id == first.id
        assert results.published_before(session, analysis) is None


def test_a_delivery_brings_its_job(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        job = session.scalars(select(Job)).one()
    assert (job.kind, job.subject_id) == (JobKind.DELIVER, delivery_id)


def test_nothing_is_sent_where_nothing_of_it_is_wanted(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        result_set = results.add_set(session, analysis.id, [made(ResultKind.SR)], NOW)
        assert (
            results.add_delivery(session, result_set, destination(session, "seg"), "route", NOW)
            is None
        )
        assert session.scalars(select(Job)).all() == []


def test_segmentations_go_before_the_report(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        assert due(session, delivery_id) == [ResultKind.SEG, ResultKind.SR]


def test_what_was_accepted_is_no_longer_due(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        rows = {row.kind: row.id for row in session.scalars(select(ResultObject))}
        statuses = {rows[ResultKind.SEG]: 0, rows[ResultKind.SR]: 0xA700}
        results.record_answers(session, delivery_id, statuses, NOW)
        assert due(session, delivery_id) == [ResultKind.SR]
        results.record_answers(session, delivery_id, {rows[ResultKind.SR]: 0}, NOW)
        assert due(session, delivery_id) == []
        assert len(session.scalars(select(DeliveredObject)).all()) == 2


def test_a_failing_delivery_is_told_at_first_and_at_last(
    database: Database, delivery_id: UUID
) -> None:
    with database.write() as session:
        for given_up in (False, False, True):
            results.not_delivered(session, delivery_id, "nothing answers", NOW, given_up=given_up)
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 3)
        assert session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)).all() == [
            "worker:delivery:retrying",
            "worker:delivery:failed",
        ]


def test_a_delivery_that_succeeds_forgets_its_error(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        results.not_delivered(session, delivery_id, "nothing answers", NOW, given_up=False)
        results.delivered(session, delivery_id, NOW)
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.status, delivery.error) == (DeliveryStatus.DELIVERED, "")
        assert (delivery.attempts, delivery.delivered_at) == (2, NOW)
