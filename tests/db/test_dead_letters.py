from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from db import dead_letters, jobs, results
from db.engine import Database
from db.schema import (
    Decision,
    Delivery,
    DeliveryStatus,
    Destination,
    JobKind,
    JobStatus,
    Review,
    StudyStatus,
)
from tests.db.rows import NOW, add_analysis, add_study, add_user


def _bury(session: Session, kind: JobKind, subject_id: UUID) -> UUID:
    job = jobs.enqueue(session, kind, key=str(uuid4()), subject_id=subject_id, now=NOW)
    assert job is not None
    claim = jobs.claim(session, job.id, NOW)
    assert claim is not None
    jobs.fail(session, claim, f"{kind.value} went wrong", NOW, permanent=True)
    return job.id


def test_a_dead_letter_of_every_kind_names_its_study(database: Database) -> None:
    with database.write() as session:
        study = add_study(session, status=StudyStatus.FAILED)
        analysis = add_analysis(session, study)
        review = Review(
            analysis_id=analysis.id,
            reader_id=add_user(session, "rita").id,
            decision=Decision.ACCEPT,
            created_at=NOW,
        )
        destination = Destination(name="pacs", kind="dimse", settings={}, results=[])
        session.add_all([review, destination])
        session.flush()
        made = results.add_result_set(session, analysis.id, [], NOW)
        delivery = _delivery(session, made.id, destination.id)
        subjects = {
            JobKind.ANALYZE: study.id,
            JobKind.PUBLISH: analysis.id,
            JobKind.DELIVER: delivery,
            JobKind.SIGN: review.id,
            JobKind.SHADOW: analysis.id,
        }
        dead = {kind: _bury(session, kind, subject) for kind, subject in subjects.items()}
    with database.read() as session:
        letters = {letter.kind: letter for letter in dead_letters.list_dead_letters(session)}
    assert {kind: letter.study_id for kind, letter in letters.items()} == dict.fromkeys(
        JobKind, study.id
    )
    assert letters[JobKind.DELIVER].destination == "pacs"
    assert letters[JobKind.ANALYZE].error == "analyze went wrong"
    with database.write() as session:
        for job_id in dead.values():
            assert dead_letters.retry(session, job_id, actor="user:admin", now=NOW)
    with database.read() as session:
        assert not dead_letters.list_dead_letters(session)
        assert session.get_one(type(study), study.id).status is StudyStatus.RECEIVING


def _delivery(session: Session, set_id: UUID, destination_id: UUID) -> UUID:
    delivery = Delivery(
        result_set_id=set_id,
        destination_id=destination_id,
        route="all",
        selection=[],
        status=DeliveryStatus.FAILED,
        created_at=NOW,
    )
    session.add(delivery)
    session.flush()
    return delivery.id


def test_only_dead_letters_can_be_retried(database: Database) -> None:
    with database.write() as session:
        study = add_study(session)
        job = jobs.enqueue(session, JobKind.ANALYZE, key="k", subject_id=study.id, now=NOW)
        assert job is not None
        assert not dead_letters.retry(session, job.id, actor="user:admin", now=NOW)
        assert job.status is JobStatus.QUEUED
