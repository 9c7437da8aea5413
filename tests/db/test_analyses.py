from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import analyses, audit
from db.analyses import Pipeline
from db.engine import Database
from db.schema import (
    Analysis,
    AnalysisStatus,
    AuditEvent,
    Finding,
    FindingKind,
    Instance,
    Job,
    JobKind,
    Refusal,
    Series,
    Study,
    StudyStatus,
)
from dicom.terms.classification import Classification

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PIPELINE = Pipeline("1+default", "a" * 64, "b" * 64)
BENIGN = Classification("benign", (0.1, 0.8, 0.1))


def add_image(session: Session, study: Study, number: int, *, series: int = 1) -> Instance:
    row = session.scalar(select(Series).where(Series.number == series))
    if row is None:
        row = Series(
            id=uuid4(), study_id=study.id, series_instance_uid=f"1.2.{series}", number=series
        )
        session.add(row)
    instance = Instance(
        id=uuid4(), series_id=row.id, sop_instance_uid=f"1.2.{series}.{number}", number=number,
        sop_class_uid="1.2", transfer_syntax_uid="1.2", file=f"{series}-{number}",
        sha256=f"{series}{number}" * 32, size_bytes=1, source_ae="A", source_address="::1",
        received_at=NOW,
    )  # fmt: skip
    session.add(instance)
    session.flush()
    return instance


@pytest.fixture
def study_id(database: Database) -> UUID:
    study = Study(
        id=uuid4(), study_instance_uid="1.2", source_ae="A", received_at=NOW,
        last_instance_at=NOW, revision=1, status=StudyStatus.RECEIVING,
    )  # fmt: skip
    with database.write() as session:
        session.add(study)
        session.flush()
        add_image(session, study, 1)
    return study.id


def begin(session: Session, study_id: UUID, pipeline: Pipeline = PIPELINE) -> Analysis:
    return analyses.begin(session, session.get_one(Study, study_id), pipeline, NOW)


def finding(session: Session, analysis: Analysis) -> Finding:
    image = analyses.list_instances(session, analysis.study_id)[0]
    return Finding(
        analysis_id=analysis.id, instance_id=image.id, kind=FindingKind.IMAGE, number=1,
        tracking_uid="2.25.1", frame_number=1, label="benign",
        p_normal=0.1, p_benign=0.8, p_malignant=0.1,
    )  # fmt: skip


def test_instances_are_listed_in_the_order_of_a_viewer(database: Database, study_id: UUID) -> None:
    with database.write() as session:
        study = session.get_one(Study, study_id)
        add_image(session, study, 3, series=2)
        add_image(session, study, 2, series=2)
        add_image(session, study, 2)
        found = [image.sop_instance_uid for image in analyses.list_instances(session, study_id)]
    assert found == ["1.2.1.1", "1.2.1.2", "1.2.2.2", "1.2.2.3"]


def test_an_analysis_begins_once_for_a_revision_and_a_pipeline(
    database: Database, study_id: UUID
) -> None:
    with database.write() as session:
        first = begin(session, study_id)
        assert begin(session, study_id).id == first.id
        other = begin(session, study_id, Pipeline("2+default", "a" * 64, "b" * 64))
        assert other.id != first.id
        add_image(session, session.get_one(Study, study_id), 2)
        assert begin(session, study_id).id != first.id
        assert session.get_one(Study, study_id).status is StudyStatus.ANALYZING


def test_finishing_updates_the_study_and_queues_the_publication(
    database: Database, study_id: UUID
) -> None:
    with database.write() as session:
        analysis = begin(session, study_id)
        analyses.finish(session, analysis.id, BENIGN, [finding(session, analysis)], [], NOW)
    with database.read() as session:
        analysis = session.scalars(select(Analysis)).one()
        assert (analysis.status, analysis.label) == (AnalysisStatus.DONE, "benign")
        assert analysis.probabilities == pytest.approx((0.1, 0.8, 0.1))
        assert session.get_one(Study, study_id).status is StudyStatus.ANALYZED
        job = session.scalars(select(Job)).one()
        assert (job.kind, job.subject_id) == (JobKind.PUBLISH, analysis.id)
        assert audit.verify(session).intact


def test_finishing_again_replaces_the_rows(database: Database, study_id: UUID) -> None:
    for _ in range(2):
        with database.write() as session:
            analysis = begin(session, study_id)
            analyses.finish(session, analysis.id, BENIGN, [finding(session, analysis)], [], NOW)
    with database.read() as session:
        assert len(session.scalars(select(Finding)).all()) == 1
        assert len(session.scalars(select(Job)).all()) == 1


def test_a_study_with_new_images_keeps_its_status(database: Database, study_id: UUID) -> None:
    with database.write() as session:
        analysis = begin(session, study_id)
        study = session.get_one(Study, study_id)
        study.revision, study.status = 2, StudyStatus.RECEIVING
        session.flush()
        analyses.finish(session, analysis.id, BENIGN, [], [], NOW)
        assert study.status is StudyStatus.RECEIVING


def test_refusals_are_counted_by_their_codes(database: Database, study_id: UUID) -> None:
    with database.write() as session:
        analysis = begin(session, study_id)
        [image] = analyses.list_instances(session, study_id)
        refusals = [
            Refusal(analysis_id=analysis.id, instance_id=image.id, code=code, text="…")
            for code in ("too-small", "too-dark", "too-dark")
        ]
        analyses.finish(session, analysis.id, None, [], refusals, NOW)
        study = session.get_one(Study, study_id)
        assert study.status is StudyStatus.REFUSED
        assert study.status_reason == "refused: too-dark, too-small"
        assert analysis.status is AnalysisStatus.REFUSED


def test_a_new_analysis_names_the_last_finished_one(database: Database, study_id: UUID) -> None:
    ids: list[UUID] = []
    for number in (2, 3, 4):
        with database.write() as session:
            analysis = begin(session, study_id)
            assert analysis.predecessor_id == (ids[-1] if ids else None)
            later = NOW + timedelta(minutes=number)
            analyses.finish(session, analysis.id, BENIGN, [], [], later)
            ids.append(analysis.id)
            add_image(session, session.get_one(Study, study_id), number)


def lesion(analysis: Analysis, image: Instance, number: int, frame: int = 1) -> Finding:
    return Finding(
        analysis_id=analysis.id, instance_id=image.id, kind=FindingKind.LESION, number=number,
        tracking_uid=f"2.25.{number + 1}", frame_number=frame, label="benign",
        p_normal=0.1, p_benign=0.8, p_malignant=0.1,
    )  # fmt: skip


def test_lesions_of_finished_analyses_are_listed_newest_first(
    database: Database, study_id: UUID
) -> None:
    with database.write() as session:
        for late, numbers in enumerate(((1, 2), (3, 1)), 2):
            analysis = begin(session, study_id)
            image = analyses.list_instances(session, study_id)[0]
            found = [lesion(analysis, image, number) for number in numbers]
            found += [lesion(analysis, image, numbers[0], frame=2), finding(session, analysis)]
            later = NOW + timedelta(minutes=late)
            analyses.finish(session, analysis.id, BENIGN, found, [], later)
            add_image(session, session.get_one(Study, study_id), late)
        running = begin(session, study_id)
        session.add(lesion(running, image, 9))
        session.flush()
        before = analyses.list_known_lesions(session, study_id)
        places = [(found.number, found.frame_number) for found in before]
        assert places == [(1, 1), (3, 1), (3, 2), (1, 1), (1, 2), (2, 1)]
        assert analyses.list_known_lesions(session, uuid4()) == []


def test_a_failure_is_shown_with_its_reason(database: Database, study_id: UUID) -> None:
    with database.write() as session:
        analyses.fail_study(session, study_id, "the preset is damaged", NOW)
        study = session.get_one(Study, study_id)
        assert (study.status, study.status_reason) == (
            StudyStatus.FAILED,
            "the preset is damaged",
        )
        assert session.scalars(select(AuditEvent.tag)).all() == ["worker:study:failed"]


def test_a_complete_analysis_is_readable_when_detached(database: Database, study_id: UUID) -> None:
    with database.write() as session:
        analysis = begin(session, study_id)
        analyses.finish(session, analysis.id, BENIGN, [finding(session, analysis)], [], NOW)
    with database.read() as session:
        whole = analyses.load_complete(session, analysis.id)
    assert whole.study.study_instance_uid == "1.2"
    assert whole.findings[0].instance.sop_instance_uid == "1.2.1.1"
    assert whole.refusals == []
