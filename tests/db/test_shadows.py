"""Shadow analyses, in rows and in the report, on both databases."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from db import audit, jobs, shadows
from db.engine import Database
from db.schema import (
    Analysis,
    AuditEvent,
    JobKind,
    JobStatus,
    ShadowAnalysis,
    ShadowImage,
)
from tests.db.compared import BENIGN, MALIGNANT, UNSURE, add_read_image, shadow_of
from tests.db.rows import NOW

COLUMNS = [column.key for column in Analysis.__table__.columns]


def test_a_shadow_analysis_is_replaced_and_not_duplicated(database: Database) -> None:
    with database.write() as session:
        analysis, instance = add_read_image(session)
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), NOW)
    with database.write() as session:
        shadows.record(session, shadow_of(analysis, instance, BENIGN), NOW)
        other = shadow_of(analysis, instance, BENIGN, pipeline="test 1+another")
        shadows.record(session, other, NOW)
    with database.read() as session:
        rows = session.scalars(select(ShadowAnalysis).order_by(ShadowAnalysis.pipeline_version))
        assert [(row.pipeline_version, row.label) for row in rows] == [
            ("test 1+another", "benign"),
            ("test 1+candidate", "benign"),
        ]
        assert session.scalar(select(func.count(ShadowImage.id))) == 2


def test_it_changes_neither_analysis_nor_study_and_adds_an_event(database: Database) -> None:
    with database.write() as session:
        analysis, instance = add_read_image(session)
        before = {column: getattr(analysis, column) for column in COLUMNS}
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), NOW)
    with database.read() as session:
        after = session.scalars(select(Analysis)).one()
        assert {column: getattr(after, column) for column in before} == before
        event = session.scalars(select(AuditEvent)).one()
        assert (event.tag, event.study_id) == ("worker:shadow:compared", analysis.study_id)
        assert '"agrees":false' in event.details
        assert audit.verify(session).intact


def test_the_report_counts_analyses_by_both_classes(database: Database) -> None:
    with database.write() as session:
        for active, shadow in ((BENIGN, BENIGN), (BENIGN, MALIGNANT), (BENIGN, BENIGN)):
            analysis, instance = add_read_image(session, active)
            shadows.record(session, shadow_of(analysis, instance, shadow), NOW)
        analysis, instance = add_read_image(session, MALIGNANT)
        unsure = shadow_of(analysis, instance, UNSURE, undecided=True, dice=None)
        shadows.record(session, unsure, NOW)
    with database.read() as session:
        report = shadows.load_report(session)
    [tally] = report.comparisons
    assert (tally.preset_name, tally.active_pipeline_version) == ("candidate", "test 1")
    assert tally.counts == {
        ("benign", "benign"): 2,
        ("benign", "malignant"): 1,
        ("malignant", "undecided"): 1,
    }
    assert (tally.analyses, tally.agreeing, tally.agreement) == (4, 2, 0.5)
    assert (tally.images, tally.images_agreeing) == (4, 2)
    assert tally.mean_dice == pytest.approx(0.5)


def test_disagreements_name_their_studies_newest_first(database: Database) -> None:
    with database.write() as session:
        studies = []
        for minutes in (0, 5):
            analysis, instance = add_read_image(session, BENIGN)
            shadow = shadow_of(analysis, instance, MALIGNANT)
            shadow.finished_at = NOW + timedelta(minutes=minutes)
            shadows.record(session, shadow, NOW)
            studies.append(analysis.study_id)
        agreeing, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(agreeing, instance, BENIGN), NOW)
    with database.read() as session:
        found = shadows.load_report(session).disagreements
        assert [each.study_id for each in found] == studies[::-1]
        assert (found[0].active, found[0].shadow) == ("benign", "malignant")
        assert (found[0].active_probability, found[0].shadow_probability) == (0.8, 0.7)
        assert len(shadows.load_report(session, limit=1).disagreements) == 1


def test_both_undecided_is_agreement_whatever_class_is_most_probable(database: Database) -> None:
    with database.write() as session:
        analysis, instance = add_read_image(session, (0.2, 0.3, 0.5))
        analysis.undecided = True
        shadows.record(session, shadow_of(analysis, instance, UNSURE, undecided=True), NOW)
    with database.read() as session:
        [tally] = shadows.load_report(session).comparisons
        assert tally.counts == {("undecided", "undecided"): 1}
        assert tally.agreement == 1


def test_each_image_has_the_results_of_both(database: Database) -> None:
    with database.write() as session:
        analysis, instance = add_read_image(session, BENIGN)
        shadows.record(session, shadow_of(analysis, instance, MALIGNANT), NOW)
    with database.read() as session:
        [line] = shadows.iter_images(session)
    assert (line["study_id"], line["instance_id"]) == (analysis.study_id, instance.id)
    assert (line["active"], line["shadow"]) == ("benign", "malignant")
    assert (line["active_benign"], line["shadow_malignant"]) == (0.8, 0.7)
    assert (line["active_area_px"], line["shadow_area_px"], line["dice"]) == (40, 30, 0.5)


def test_jobs_are_queued_once_and_counted(database: Database) -> None:
    with database.write() as session:
        analysis, _ = add_read_image(session)
        shadows.enqueue(session, analysis.id, NOW)
        shadows.enqueue(session, analysis.id, NOW)
    with database.read() as session:
        report = shadows.load_report(session)
    assert (report.comparisons, report.jobs) == ((), {JobStatus.QUEUED.value: 1})


@pytest.mark.parametrize("kind", shadows.RESULT_JOBS)
def test_the_queue_is_not_idle_while_a_result_job_is_due_or_running(
    database: Database, kind: JobKind
) -> None:
    with database.write() as session:
        assert shadows.is_idle(session, NOW)
        later = NOW + timedelta(seconds=15)
        job = jobs.enqueue(session, kind, key="k", subject_id=uuid4(), now=NOW, due_at=later)
        assert job is not None
        assert shadows.is_idle(session, NOW)
        assert not shadows.is_idle(session, later)
        claim = jobs.claim(session, job.id, NOW)
        assert claim is not None
        assert not shadows.is_idle(session, NOW)
        jobs.finish(session, claim, NOW)
        assert shadows.is_idle(session, later)


def test_deliveries_and_other_shadow_jobs_do_not_count(database: Database) -> None:
    with database.write() as session:
        for kind in (JobKind.DELIVER, JobKind.SHADOW):
            jobs.enqueue(session, kind, key="k", subject_id=uuid4(), now=NOW)
        assert shadows.is_idle(session, NOW)
