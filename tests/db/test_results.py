import json
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
        last_instance_at=NOW, revision=1, status=StudyStatus.ANALYZED,
    )  # fmt: skip
    with database.write() as session:
        session.add(study)
        session.flush()
        return add_analysis(session, study.id, "a")


WISH = ["seg", "sr"]


def made(spec: str, *selections: list[str]) -> ResultObject:
    uid = f"2.25.{uuid4().int}"
    return ResultObject(
        id=uuid4(), spec=spec, selections=list(selections) or [WISH], sop_class_uid="1.2", sop_instance_uid=uid,
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
        objects = [made("sr"), made("seg")]
        result_set = results.add_result_set(session, analysis.id, objects, NOW)
        delivery = results.add_delivery(
            session, result_set, destination(session, *WISH), WISH, "route", NOW
        )
        assert delivery is not None
        return delivery.id


def due(session: Session, delivery_id: UUID) -> list[str]:
    delivery = results.load_delivery(session, delivery_id)
    done = results.find_accepted_objects(session, delivery, lambda status: status == 0)
    return [
        row.spec for row in results.list_delivery_objects(session, delivery) if row.id not in done
    ]


def test_an_analysis_has_one_set_of_its_own(database: Database, analysis: Analysis) -> None:
    with database.write() as session:
        results.add_result_set(session, analysis.id, [made("sr")], NOW)
    with pytest.raises(IntegrityError), database.write() as session:
        results.add_result_set(session, analysis.id, [made("sr")], NOW)


def test_the_kind_of_an_object_is_its_spec_without_the_variant() -> None:
    assert [made(spec).kind for spec in ("sr", "sr:enhanced", "seg:every-frame")] == [
        "sr",
        "sr",
        "seg",
    ]


def test_the_nearest_published_analysis_comes_before(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        first = results.add_result_set(session, analysis.id, [made("sr")], NOW)
        unpublished = add_analysis(session, analysis.study_id, "b", analysis.id)
        third = add_analysis(session, analysis.study_id, "c", unpublished.id)
        found = results.find_published_before(session, third)
        assert found is not None
        assert found.id == first.id
        assert results.find_published_before(session, analysis) is None


def test_a_delivery_brings_its_job(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        job = session.scalars(select(Job)).one()
    assert (job.kind, job.subject_id) == (JobKind.DELIVER, delivery_id)


def test_nothing_is_sent_where_nothing_of_it_is_wanted(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        result_set = results.add_result_set(session, analysis.id, [made("sr")], NOW)
        assert (
            results.add_delivery(
                session, result_set, destination(session, "seg"), ["seg"], "route", NOW
            )
            is None
        )
        assert session.scalars(select(Job)).all() == []


def test_segmentations_go_before_the_report(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        assert due(session, delivery_id) == ["seg", "sr"]


def test_objects_go_in_the_order_of_the_wish(database: Database, analysis: Analysis) -> None:
    selection = ["seg:fractional", "sr:enhanced", "heatmap-sc", "key-objects"]
    with database.write() as session:
        objects = [made(spec, selection) for spec in reversed(selection)]
        result_set = results.add_result_set(session, analysis.id, objects, NOW)
        there = destination(session, *selection)
        delivery = results.add_delivery(session, result_set, there, selection, "route", NOW)
        assert delivery is not None
        assert due(session, delivery.id) == selection


def test_of_two_reports_of_one_spec_each_destination_gets_that_of_its_wish(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        alone, beside = made("sr", ["sr"]), made("sr", WISH)
        result_set = results.add_result_set(session, analysis.id, [alone, beside], NOW)
        for selection, report in ((["sr"], alone), (WISH, beside)):
            there = destination(session, *selection)
            delivery = results.add_delivery(session, result_set, there, selection, "route", NOW)
            assert delivery is not None
            delivery = results.load_delivery(session, delivery.id)
            assert [row.id for row in results.list_delivery_objects(session, delivery)] == [
                report.id
            ]


def test_a_changed_wish_adds_what_is_missing_and_shares_all_but_reports(
    database: Database, delivery_id: UUID
) -> None:
    selection = ["seg", "sr", "heatmap-sc"]
    with database.write() as session:
        there = {row.spec: row for row in session.scalars(select(ResultObject))}
        report, picture = made("sr", selection), made("heatmap-sc", selection)
        again = made("seg", selection)
        again.sop_instance_uid = there["seg"].sop_instance_uid
        results.update_selection(session, delivery_id, selection, [again, report, picture], NOW)
    with database.read() as session:
        delivery = results.load_delivery(session, delivery_id)
        brings = [row.id for row in results.list_delivery_objects(session, delivery)]
        assert brings == [there["seg"].id, report.id, picture.id]
        assert delivery.selection == selection
        told = json.loads(session.scalars(select(AuditEvent.details)).one())
    assert told["instead_of"] == WISH
    assert len(told["objects"]) == 4


def test_what_was_accepted_is_no_longer_due(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        rows = {row.spec: row.id for row in session.scalars(select(ResultObject))}
        statuses = {rows["seg"]: 0, rows["sr"]: 0xA700}
        results.record_store_statuses(session, delivery_id, statuses, NOW)
        assert due(session, delivery_id) == ["sr"]
        results.record_store_statuses(session, delivery_id, {rows["sr"]: 0}, NOW)
        assert due(session, delivery_id) == []
        assert len(session.scalars(select(DeliveredObject)).all()) == 2


def test_a_failing_delivery_is_told_at_first_and_at_last(
    database: Database, delivery_id: UUID
) -> None:
    with database.write() as session:
        for given_up in (False, False, True):
            results.record_not_delivered(
                session, delivery_id, "nothing answers", NOW, given_up=given_up
            )
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 3)
        assert session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)).all() == [
            "worker:delivery:retrying",
            "worker:delivery:failed",
        ]


def test_a_delivery_that_succeeds_forgets_its_error(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        results.record_not_delivered(session, delivery_id, "nothing answers", NOW, given_up=False)
        results.record_delivered(session, delivery_id, NOW)
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.status, delivery.error) == (DeliveryStatus.DELIVERED, "")
        assert (delivery.attempts, delivery.delivered_at) == (2, NOW)
