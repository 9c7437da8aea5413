from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from db import jobs
from db.schema import (
    Analysis,
    Decision,
    Delivery,
    DeliveryStatus,
    Job,
    JobKind,
    JobStatus,
    ResultObject,
    ResultSet,
    Review,
    Role,
    User,
)
from dicom.readback import ReadReport, read_back_report
from tests.workers.hospital import Hospital
from tests.workers.pacs import CLASSES, pacs
from tests.workers.painted import picture, write


@pytest.fixture
def analysed(hospital: Hospital, tmp_path: Path) -> Hospital:
    """An analysis that is not published yet, and a radiologist."""
    hospital.receive(write(tmp_path / "a.dcm", picture((100, 80, 20))))
    hospital.runner.run(hospital.job(JobKind.ANALYSE).id, JobKind.ANALYSE)
    reader = User(
        username="roentgen", display_name="W. Röntgen", dicom_name="Röntgen^Wilhelm",
        organization="Klinik", role=Role.RADIOLOGIST, password_hash="-",
        created_at=hospital.clock(),
    )  # fmt: skip
    with hospital.database.write() as session:
        session.add(reader)
    return hospital


def publish(hospital: Hospital) -> ReadReport:
    hospital.runner.run(hospital.job(JobKind.PUBLISH).id, JobKind.PUBLISH)
    return newest_report(hospital)


def sign(
    hospital: Hospital,
    decision: Decision,
    label: str | None,
    *,
    predecessor_id: UUID | None = None,
) -> UUID:
    """A signed review with its job, and one run of that."""
    hospital.clock.skip(minutes=1)
    now = hospital.clock()
    with hospital.database.write() as session:
        review = Review(
            id=uuid4(),
            analysis_id=session.scalars(select(Analysis.id)).one(),
            reader_id=session.scalars(select(User.id)).one(),
            decision=decision,
            final_label=label,
            birads="4A" if label else None,
            reason="" if decision is Decision.ACCEPT else "Class is wrong",
            comment="Biopsie empfohlen",
            predecessor_id=predecessor_id,
            created_at=now,
            signed_at=now,
        )
        session.add(review)
        session.flush()
        jobs.enqueue(session, JobKind.SIGN, key=str(review.id), subject_id=review.id, now=now)
    run(hospital)
    return review.id


def run(hospital: Hospital) -> None:
    hospital.runner.run(hospital.job(JobKind.SIGN).id, JobKind.SIGN)


def newest_report(hospital: Hospital) -> ReadReport:
    with hospital.database.read() as session:
        made = session.scalars(
            select(ResultObject)
            .where(ResultObject.spec == "sr")
            .order_by(ResultObject.created_at.desc())
        ).first()
    assert made is not None
    return read_back_report(hospital.services.store.path(made.file))


def test_a_signed_review_becomes_a_verified_successor(analysed: Hospital) -> None:
    unverified = publish(analysed)
    review_id = sign(analysed, Decision.MODIFY, "benign")
    signed = newest_report(analysed)
    assert signed.verified
    assert signed.predecessor_uid == unverified.sop_instance_uid
    assert (signed.label, signed.decision, signed.birads) == ("benign", "modify", "4A")
    assert signed.reader_name == "Röntgen^Wilhelm"
    assert "Biopsie empfohlen" in signed.comments
    with analysed.database.read() as session:
        made = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        assert [each.kind for each in made.objects] == ["sr"]
    assert analysed.tags()[-1] == "worker:review:published"


def test_it_goes_where_the_analysis_went(analysed: Hospital, free_port: int) -> None:
    publish(analysed)
    sign(analysed, Decision.ACCEPT, "malignant")
    with pacs(port=free_port) as there:
        analysed.run_due()
    with analysed.database.read() as session:
        found = session.scalars(select(Delivery)).all()
        assert {(d.destination.name, d.route, d.status) for d in found} == {
            ("pacs", "breast", DeliveryStatus.DELIVERED)
        }
    assert sorted(sop_class for sop_class, _ in there.asked) == sorted(
        [CLASSES[1], CLASSES[0], CLASSES[0]]
    )


def test_a_destination_that_left_the_file_gets_nothing_new(analysed: Hospital) -> None:
    publish(analysed)
    with analysed.database.write() as session:
        session.scalars(select(Delivery)).one().destination.active = False
    sign(analysed, Decision.ACCEPT, "malignant")
    with analysed.database.read() as session:
        assert len(session.scalars(select(Delivery)).all()) == 1


def test_a_rejected_analysis_is_reported_without_a_class(analysed: Hospital) -> None:
    publish(analysed)
    sign(analysed, Decision.REJECT, None)
    signed = newest_report(analysed)
    assert (signed.verified, signed.decision, signed.label) == (True, "reject", None)


def test_an_amendment_takes_the_place_of_the_review_before_it(analysed: Hospital) -> None:
    publish(analysed)
    first_id = sign(analysed, Decision.ACCEPT, "malignant")
    first = newest_report(analysed)
    sign(analysed, Decision.MODIFY, "benign", predecessor_id=first_id)
    second = newest_report(analysed)
    assert second.predecessor_uid == first.sop_instance_uid
    assert second.sop_instance_uid != first.sop_instance_uid


def test_each_destination_gets_a_verified_report_of_its_own_class_and_chain(
    analysed: Hospital,
) -> None:
    """A signed report takes the place of the one that its destination has, and so does the next."""
    routes = analysed.services.settings.effective_routes_file
    wide = routes.read_text().replace(
        'destinations = ["pacs"]', 'destinations = ["pacs", "reports-only"]'
    )
    routes.write_text(wide.replace('results = ["sr"]', 'results = ["sr", "sr:enhanced"]'))
    publish(analysed)
    first_id = sign(analysed, Decision.ACCEPT, "malignant")
    second_id = sign(analysed, Decision.MODIFY, "benign", predecessor_id=first_id)
    published, first, second = (reports(analysed, each) for each in (None, first_id, second_id))
    assert len(published) == 3
    assert [{key: uid for key, (uid, _) in each.items()} for each in (published, first)] == [
        {key: before for key, (_, before) in each.items()} for each in (first, second)
    ]
    with analysed.database.read() as session:
        deliveries = session.scalars(select(Delivery)).all()
        assert sorted(d.destination.name for d in deliveries) == ["pacs"] * 3 + ["reports-only"] * 3


def reports(
    hospital: Hospital, review_id: UUID | None
) -> dict[tuple[str, str], tuple[str, str | None]]:
    """UID and predecessor of each report of a set, by wish and spec."""
    with hospital.database.read() as session:
        made = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        found = {}
        for each in made.objects:
            if each.kind == "sr":
                seen = read_back_report(hospital.services.store.path(each.file))
                for wish in each.wishes:
                    found[" ".join(wish), each.spec] = seen.sop_instance_uid, seen.predecessor_uid
        return found


def test_a_review_waits_for_the_publication_of_what_it_reviews(analysed: Hospital) -> None:
    sign(analysed, Decision.ACCEPT, "malignant")
    job = analysed.job(JobKind.SIGN)
    assert (job.status, job.error) == (
        JobStatus.QUEUED,
        "the analysis that was reviewed is not published yet",
    )
    publish(analysed)
    analysed.clock.skip(minutes=1)
    run(analysed)
    assert newest_report(analysed).verified


def test_a_second_run_changes_nothing(analysed: Hospital) -> None:
    publish(analysed)
    sign(analysed, Decision.ACCEPT, "malignant")
    with analysed.database.write() as session:
        session.scalars(select(Job).where(Job.kind == JobKind.SIGN)).one().status = JobStatus.QUEUED
    run(analysed)
    assert analysed.job(JobKind.SIGN).status is JobStatus.DONE
    with analysed.database.read() as session:
        assert len(session.scalars(select(ResultSet)).all()) == 2


def test_a_review_that_was_never_published_is_told(analysed: Hospital) -> None:
    sign(analysed, Decision.ACCEPT, "malignant")
    for _ in range(jobs.MAX_ATTEMPTS[JobKind.SIGN] - 1):
        run(analysed)
    assert analysed.job(JobKind.SIGN).status is JobStatus.DEAD
    assert analysed.tags()[-1] == "worker:review:failed"


def test_a_review_that_is_not_signed_is_refused(analysed: Hospital) -> None:
    publish(analysed)
    with analysed.database.write() as session:
        draft = Review(
            analysis_id=session.scalars(select(Analysis.id)).one(),
            reader_id=session.scalars(select(User.id)).one(),
            decision=Decision.ACCEPT, final_label="malignant", created_at=analysed.clock(),
        )  # fmt: skip
        session.add(draft)
        session.flush()
        jobs.enqueue(session, JobKind.SIGN, key="draft", subject_id=draft.id, now=analysed.clock())
    run(analysed)
    job = analysed.job(JobKind.SIGN)
    assert (job.status, job.error) == (JobStatus.DEAD, "the review is not signed")
