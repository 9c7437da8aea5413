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


SELECTION = ["seg", "sr"]


def make_object(spec: str, *selections: list[str]) -> ResultObject:
    uid = f"2.25.{uuid4().int}"
    return ResultObject(
        id=uuid4(), spec=spec, selections=list(selections) or [SELECTION], sop_class_uid="1.2", sop_instance_uid=uid,
        series_instance_uid="2.25.1", file=uid, sha256="c" * 64, size_bytes=1, created_at=NOW,
    )  # fmt: skip


def destination(session: Session, *kinds: str) -> Destination:
    row = Destination(
        id=uuid4(), name=f"d{uuid4().hex[:6]}", kind="dimse", settings={},
        results=list(kinds),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


@pytest.fixture
def delivery_id(database: Database, analysis: Analysis) -> UUID:
    """A pending delivery of a SEG and an SR."""
    with database.write() as session:
        objects = [make_object("sr"), make_object("seg")]
        result_set = results.add_result_set(session, analysis.id, objects, NOW)
        delivery = results.add_delivery(
            session, result_set, destination(session, *SELECTION), SELECTION, "route", NOW
        )
        assert delivery is not None
        return delivery.id


def due(session: Session, delivery_id: UUID) -> list[str]:
    delivery = results.load_delivery(session, delivery_id)
    done = results.find_accepted_objects(session, delivery, lambda status: status == 0)
    return [
        row.spec
        for row in results.list_delivery_objects(session, delivery, ["sr", "sr:enhanced"])
        if row.id not in done
    ]


def test_an_analysis_has_at_most_one_result_set_of_its_own(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        results.add_result_set(session, analysis.id, [make_object("sr")], NOW)
    with pytest.raises(IntegrityError), database.write() as session:
        results.add_result_set(session, analysis.id, [make_object("sr")], NOW)


def test_the_kind_of_an_object_is_its_spec_without_the_variant() -> None:
    assert [make_object(spec).kind for spec in ("sr", "sr:enhanced", "seg:every-frame")] == [
        "sr",
        "sr",
        "seg",
    ]


def test_the_newest_published_predecessor_is_found(database: Database, analysis: Analysis) -> None:
    with database.write() as session:
        first = results.add_result_set(session, analysis.id, [make_object("sr")], NOW)
        unpublished = add_analysis(session, analysis.study_id, "b", analysis.id)
        third = add_analysis(session, analysis.study_id, "c", unpublished.id)
        found = results.find_published_before(session, third)
        assert found is not None
        assert found.id == first.id
        assert results.find_published_before(session, analysis) is None


def test_a_delivery_is_added_with_its_job(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        job = session.scalars(select(Job)).one()
    assert (job.kind, job.subject_id) == (JobKind.DELIVER, delivery_id)


def test_there_is_no_delivery_without_objects_of_the_selection(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        result_set = results.add_result_set(session, analysis.id, [make_object("sr")], NOW)
        assert (
            results.add_delivery(
                session, result_set, destination(session, "seg"), ["seg"], "route", NOW
            )
            is None
        )
        assert session.scalars(select(Job)).all() == []


def test_segmentations_are_sent_before_the_report(database: Database, delivery_id: UUID) -> None:
    with database.read() as session:
        assert due(session, delivery_id) == ["seg", "sr"]


def test_objects_are_sent_in_the_order_of_the_selection(
    database: Database, analysis: Analysis
) -> None:
    selection = ["seg:fractional", "sr:enhanced", "heatmap-sc", "key-objects"]
    with database.write() as session:
        objects = [make_object(spec, selection) for spec in reversed(selection)]
        result_set = results.add_result_set(session, analysis.id, objects, NOW)
        recipient = destination(session, *selection)
        delivery = results.add_delivery(session, result_set, recipient, selection, "route", NOW)
        assert delivery is not None
        assert due(session, delivery.id) == selection


def test_each_destination_gets_the_report_of_its_selection(
    database: Database, analysis: Analysis
) -> None:
    with database.write() as session:
        alone, beside = make_object("sr", ["sr"]), make_object("sr", SELECTION)
        result_set = results.add_result_set(session, analysis.id, [alone, beside], NOW)
        for selection, report in ((["sr"], alone), (SELECTION, beside)):
            recipient = destination(session, *selection)
            delivery = results.add_delivery(session, result_set, recipient, selection, "route", NOW)
            assert delivery is not None
            delivery = results.load_delivery(session, delivery.id)
            assert [
                row.id
                for row in results.list_delivery_objects(session, delivery, ["sr", "sr:enhanced"])
            ] == [report.id]


def test_a_new_selection_adds_missing_objects_and_a_report_of_its_own(
    database: Database, delivery_id: UUID
) -> None:
    selection = ["seg", "sr", "heatmap-sc"]
    with database.write() as session:
        objects_by_spec = {row.spec: row for row in session.scalars(select(ResultObject))}
        report, picture = make_object("sr", selection), make_object("heatmap-sc", selection)
        again = make_object("seg", selection)
        again.sop_instance_uid = objects_by_spec["seg"].sop_instance_uid
        results.update_selection(session, delivery_id, selection, [again, report, picture], NOW)
    with database.read() as session:
        delivery = results.load_delivery(session, delivery_id)
        sent = [
            row.id
            for row in results.list_delivery_objects(session, delivery, ["sr", "sr:enhanced"])
        ]
        assert sent == [objects_by_spec["seg"].id, report.id, picture.id]
        assert delivery.selection == selection
        event = json.loads(session.scalars(select(AuditEvent.details)).one())
    assert event["instead_of"] == SELECTION
    assert len(event["objects"]) == 4


def test_accepted_objects_are_not_sent_again(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        rows = {row.spec: row.id for row in session.scalars(select(ResultObject))}
        statuses = {rows["seg"]: 0, rows["sr"]: 0xA700}
        results.record_store_statuses(session, delivery_id, statuses, NOW)
        assert due(session, delivery_id) == ["sr"]
        results.record_store_statuses(session, delivery_id, {rows["sr"]: 0}, NOW)
        assert due(session, delivery_id) == []
        assert len(session.scalars(select(DeliveredObject)).all()) == 2


def test_the_first_and_the_final_failure_are_audit_events(
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


def test_a_successful_delivery_has_no_error(database: Database, delivery_id: UUID) -> None:
    with database.write() as session:
        results.record_not_delivered(session, delivery_id, "nothing answers", NOW, given_up=False)
        results.record_delivered(session, delivery_id, NOW)
        delivery = session.get_one(Delivery, delivery_id)
        assert (delivery.status, delivery.error) == (DeliveryStatus.DELIVERED, "")
        assert (delivery.attempts, delivery.delivered_at) == (2, NOW)
