import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from db import jobs, results
from db.schema import (
    Analysis,
    AuditEvent,
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
from dicom.files import read_dataset
from dicom.results import profiles
from dicom.results.catalogue import parse_spec
from dicom.results.profiles import PROFILES
from dicom.results.sr.verify import ReadReport, read_back_report
from tests.workers.fake_images import draw_frame, write_image
from tests.workers.gateway import Gateway, shortest, stored
from tests.workers.pacs import CLASSES, run_pacs
from workers.destinations.rows import sync_destinations
from workers.errors import PrerequisitePending
from workers.queue.runner import job_handlers


@pytest.fixture
def analyzed(gateway: Gateway, tmp_path: Path) -> Gateway:
    """An analysis that is not published yet, and a radiologist."""
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20))))
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)
    reader = User(
        username="roentgen", display_name="W. Röntgen", dicom_name="Röntgen^Wilhelm",
        organization="Klinik", role=Role.RADIOLOGIST, password_hash="-",
        created_at=gateway.clock(),
    )  # fmt: skip
    with gateway.database.write() as session:
        session.add(reader)
    return gateway


def publish(gateway: Gateway) -> ReadReport:
    gateway.runner.run(gateway.job(JobKind.PUBLISH).id, JobKind.PUBLISH)
    return newest_report(gateway)


def sign(
    gateway: Gateway,
    decision: Decision,
    label: str | None,
    *,
    predecessor_id: UUID | None = None,
) -> UUID:
    """A signed review of the newest analysis with its job, and one run of that."""
    review_id = put_signature(gateway, decision, label, predecessor_id=predecessor_id)
    run(gateway)
    return review_id


def put_signature(
    gateway: Gateway,
    decision: Decision,
    label: str | None,
    *,
    predecessor_id: UUID | None = None,
) -> UUID:
    gateway.clock.skip(minutes=1)
    now = gateway.clock()
    with gateway.database.write() as session:
        review = Review(
            id=uuid4(),
            analysis_id=session.scalars(select(Analysis.id).order_by(Analysis.revision)).all()[-1],
            reader_id=session.scalars(select(User.id)).one(),
            decision=decision,
            final_label=label,
            birads="4A" if label else None,
            reason="" if decision is Decision.ACCEPT else "Incorrect class",
            comment="Biopsie empfohlen",
            predecessor_id=predecessor_id,
            created_at=now,
            signed_at=now,
        )
        session.add(review)
        session.flush()
        jobs.enqueue(session, JobKind.SIGN, key=str(review.id), subject_id=review.id, now=now)
    return review.id


def run(gateway: Gateway) -> None:
    gateway.runner.run(gateway.job(JobKind.SIGN).id, JobKind.SIGN)


def newest_report(gateway: Gateway) -> ReadReport:
    with gateway.database.read() as session:
        made = session.scalars(
            select(ResultObject)
            .where(ResultObject.spec == stored("sr"))
            .order_by(ResultObject.created_at.desc())
        ).first()
    assert made is not None
    return read_back_report(gateway.services.store.path(made.file))


def test_a_signed_review_becomes_a_verified_report(analyzed: Gateway) -> None:
    unverified = publish(analyzed)
    review_id = sign(analyzed, Decision.MODIFY, "benign")
    signed = newest_report(analyzed)
    assert signed.verified
    assert signed.predecessor_uid == unverified.sop_instance_uid
    assert (signed.label, signed.decision, signed.birads) == ("benign", "modify", "4A")
    assert signed.reader_name == "Röntgen^Wilhelm"
    assert "Biopsie empfohlen" in signed.comments
    with analyzed.database.read() as session:
        made = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        assert shortest(each.spec for each in made.objects) == "sr"
    assert analyzed.tags()[-1] == "worker:review:published"


def test_it_is_sent_to_the_destinations_of_the_analysis(analyzed: Gateway, free_port: int) -> None:
    publish(analyzed)
    sign(analyzed, Decision.ACCEPT, "malignant")
    with run_pacs(port=free_port) as pacs:
        analyzed.run_due()
    with analyzed.database.read() as session:
        found = session.scalars(select(Delivery)).all()
        assert {(d.destination.name, d.route, d.status) for d in found} == {
            ("pacs", "breast", DeliveryStatus.DELIVERED)
        }
    assert sorted(sop_class for sop_class, _ in pacs.received) == sorted(
        [CLASSES[1], CLASSES[0], CLASSES[0]]
    )


def test_a_removed_destination_receives_the_report_when_it_is_restored(
    analyzed: Gateway, free_port: int
) -> None:
    publish(analyzed)
    routes = analyzed.services.settings.effective_routes_file
    before = routes.read_text()
    routes.write_text("")
    analyzed.run_due()
    sign(analyzed, Decision.ACCEPT, "malignant")
    analyzed.run_due()
    routes.write_text(before)
    analyzed.clock.skip(hours=1)
    with run_pacs(port=free_port) as pacs:
        analyzed.run_due()
    with analyzed.database.read() as session:
        statuses = [delivery.status for delivery in session.scalars(select(Delivery))]
    assert statuses == [DeliveryStatus.DELIVERED] * 2
    assert len(pacs.received) == 3


@pytest.mark.parametrize(
    ("wished", "today"),
    [
        (["sr"], ["seg", "sr"]),
        (["seg", "sr"], ["seg:fractional", "sr"]),
        (["seg", "sr"], ["seg", "sr:enhanced"]),
    ],
)
def test_a_verified_report_replaces_the_report_that_its_destination_received(
    analyzed: Gateway, free_port: int, wished: list[str], today: list[str]
) -> None:
    """In the same class, naming the same segmentations, whatever it asks for since then."""
    set_selection(analyzed, wished)
    publish(analyzed)
    with run_pacs(port=free_port) as pacs:
        analyzed.run_due()
        set_selection(analyzed, today)
        sign(analyzed, Decision.ACCEPT, "malignant")
        analyzed.run_due()
    with analyzed.database.read() as session:
        published, signed = session.scalars(select(ResultSet).order_by(ResultSet.created_at)).all()
        (delivery,) = signed.deliveries
        got = {made.sop_instance_uid for made in published.objects if made.spec.startswith("seg")}
        selection = [stored(spec) for spec in wished]
        (report,) = (made for made in signed.objects if selection in made.selections)
        path = analyzed.services.store.path(report.file)
    assert (delivery.selection, delivery.status) == (selection, DeliveryStatus.DELIVERED)
    assert pacs.received[-1] == (CLASSES[0], report.sop_instance_uid)
    named = {lesion.segmentation_uid for lesion in read_back_report(path).lesions} - {""}
    assert named == (got if "seg" in wished else set())
    assert named <= set(pacs.stored)


def test_a_review_keeps_the_selection_of_its_study_when_a_release_changes_the_profile(
    analyzed: Gateway, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """The verified report is of the class that the destination received, and is delivered."""

    def change_profile(*specs: str) -> None:
        changed = replace(PROFILES["ohif"], specs=tuple(map(parse_spec, specs)))
        monkeypatch.setattr(profiles, "PROFILES", {**PROFILES, "ohif": changed})

    change_profile("seg:binary", "sr")
    routes = analyzed.services.settings.effective_routes_file
    routes.write_text(routes.read_text().replace('results = ["seg", "sr"]', 'profile = "ohif"'))
    publish(analyzed)
    with run_pacs(port=free_port) as pacs:
        analyzed.run_due()
        change_profile("seg:fractional", "sr:enhanced")
        sign(analyzed, Decision.ACCEPT, "malignant")
        analyzed.run_due()
    with analyzed.database.read() as session:
        published, signed = session.scalars(select(ResultSet).order_by(ResultSet.created_at)).all()
        for result_set in (published, signed):
            (delivery,) = result_set.deliveries
            assert delivery.selection == ["seg:binary", "sr:comprehensive"]
            assert delivery.status is DeliveryStatus.DELIVERED
        assert delivery.destination.results == ["seg:fractional", "sr:enhanced"]
        reports = {made.sop_instance_uid: made.sop_class_uid for made in signed.objects}
    assert pacs.received[-1][::-1] in reports.items()


def test_a_destination_that_selects_no_report_any_more_is_a_dead_letter(
    analyzed: Gateway, free_port: int
) -> None:
    set_selection(analyzed, ["sr"])
    publish(analyzed)
    with run_pacs(port=free_port):
        analyzed.run_due()
        set_selection(analyzed, ["seg"])
        sign(analyzed, Decision.ACCEPT, "malignant")
        analyzed.run_due()
        with analyzed.database.write() as session:
            delivery = session.scalars(select(Delivery).order_by(Delivery.created_at)).all()[-1]
            assert delivery.status is DeliveryStatus.FAILED
            assert f"add {stored('sr')} to the destination's results" in delivery.error
            jobs.retry(session, analyzed.job(JobKind.DELIVER).id, analyzed.clock())
        set_selection(analyzed, ["sr"])
        analyzed.run_due()
    with analyzed.database.read() as session:
        assert session.get_one(Delivery, delivery.id).status is DeliveryStatus.DELIVERED


def test_a_rejected_analysis_is_reported_without_a_class(analyzed: Gateway) -> None:
    publish(analyzed)
    sign(analyzed, Decision.REJECT, None)
    signed = newest_report(analyzed)
    assert (signed.verified, signed.decision, signed.label) == (True, "reject", None)


def test_an_amendment_replaces_the_report_of_the_amended_review(analyzed: Gateway) -> None:
    publish(analyzed)
    first_id = sign(analyzed, Decision.ACCEPT, "malignant")
    first = newest_report(analyzed)
    sign(analyzed, Decision.MODIFY, "benign", predecessor_id=first_id)
    second = newest_report(analyzed)
    assert second.predecessor_uid == first.sop_instance_uid
    assert second.sop_instance_uid != first.sop_instance_uid


def test_a_review_of_late_images_also_replaces_the_report_signed_before(
    analyzed: Gateway, tmp_path: Path
) -> None:
    """For each destination it is the one that it has, whatever it asked for then."""
    set_selection(analyzed, ["sr"])
    publish(analyzed)
    first_id = sign(analyzed, Decision.ACCEPT, "malignant")
    set_selection(analyzed, ["seg", "sr:enhanced"])
    revise(analyzed, tmp_path)
    publish(analyzed)
    second_id = sign(analyzed, Decision.ACCEPT, "malignant")
    third_id = sign(analyzed, Decision.MODIFY, "benign", predecessor_id=second_id)
    first, second = reports(analyzed, first_id), reports(analyzed, second_id)
    named = {key: uids for key, (_, *uids) in predecessors(analyzed, second_id).items()}
    assert named == {
        ("seg sr", "sr"): [first["seg sr", "sr"][0]],
        ("seg sr:enhanced", "sr:enhanced"): [first["sr", "sr"][0]],
    }
    assert predecessors(analyzed, third_id) == {key: [uid] for key, (uid, _) in second.items()}


def predecessors(gateway: Gateway, review_id: UUID) -> dict[tuple[str, str], list[str]]:
    """The UIDs that each report of a set names, by selection and spec."""
    with gateway.database.read() as session:
        made = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        return {
            (shortest(selection), shortest([each.spec])): [
                str(reference.ReferencedSOPInstanceUID)
                for study in read_dataset(
                    gateway.services.store.path(each.file)
                ).PredecessorDocumentsSequence
                for series in study.ReferencedSeriesSequence
                for reference in series.ReferencedSOPSequence
            ]
            for each in made.objects
            for selection in each.selections
        }


def test_a_review_of_late_images_waits_for_the_report_signed_before(
    analyzed: Gateway, tmp_path: Path
) -> None:
    publish(analyzed)
    put_signature(analyzed, Decision.ACCEPT, "malignant")
    before = analyzed.job(JobKind.SIGN).id
    revise(analyzed, tmp_path)
    publish(analyzed)
    sign(analyzed, Decision.ACCEPT, "malignant")
    job = analyzed.job(JobKind.SIGN)
    assert (job.status, job.error) == (
        JobStatus.QUEUED,
        "the signed review of an earlier revision of the study is not published yet",
    )
    analyzed.runner.run(before, JobKind.SIGN)
    analyzed.clock.skip(minutes=1)
    run(analyzed)
    assert analyzed.job(JobKind.SIGN).status is JobStatus.DONE


def test_a_report_that_was_given_up_does_not_block_later_ones_and_is_not_sent_after_them(
    analyzed: Gateway, tmp_path: Path
) -> None:
    publish(analyzed)
    first_id = put_signature(analyzed, Decision.ACCEPT, "malignant")
    given_up = analyzed.job(JobKind.SIGN).id
    with analyzed.database.write() as session:
        session.get_one(Job, given_up).status = JobStatus.DEAD_LETTER
    revise(analyzed, tmp_path)
    publish(analyzed)
    second_id = sign(analyzed, Decision.ACCEPT, "malignant")
    assert {len(named) for named in predecessors(analyzed, second_id).values()} == {1}
    with analyzed.database.write() as session:
        jobs.retry(session, given_up, analyzed.clock())
    analyzed.runner.run(given_up, JobKind.SIGN)
    with analyzed.database.read() as session:
        reported = {
            made.review_id: len(made.deliveries) for made in session.scalars(select(ResultSet))
        }
        told = session.scalars(select(AuditEvent).order_by(AuditEvent.seq.desc())).first()
    assert (reported[first_id], reported[second_id]) == (0, 1)
    assert told is not None
    assert told.tag == "worker:review:published"
    assert "superseded_by" in told.details


def set_selection(gateway: Gateway, results: list[str]) -> None:
    """From now on, the PACS of the route; the rows know it as they do after any other study."""
    routes = gateway.services.settings.effective_routes_file
    head, port, tail = re.split(
        r"(port = [0-9]+\n)(?:results = .*\n)?", routes.read_text(), maxsplit=1
    )
    routes.write_text(f"{head}{port}results = {results}\n{tail}")
    with gateway.database.write() as session:
        sync_destinations(session, gateway.services.routes.current().destination)


def revise(gateway: Gateway, folder: Path) -> None:
    """An image comes late, and all is analyzed again."""
    gateway.clock.skip(minutes=1)
    gateway.receive(write_image(folder / "late.dcm", draw_frame((60, 80, 20)), number=2))
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)


def test_each_destination_receives_a_verified_report_of_its_sop_class_and_predecessors(
    analyzed: Gateway,
) -> None:
    """A signed report takes the place of the one that its destination has, and so does the next."""
    routes = analyzed.services.settings.effective_routes_file
    wide = routes.read_text().replace(
        'destinations = ["pacs"]', 'destinations = ["pacs", "reports-only"]'
    )
    routes.write_text(wide.replace('results = ["sr"]', 'results = ["sr", "sr:enhanced"]'))
    publish(analyzed)
    first_id = sign(analyzed, Decision.ACCEPT, "malignant")
    second_id = sign(analyzed, Decision.MODIFY, "benign", predecessor_id=first_id)
    published, first, second = (reports(analyzed, each) for each in (None, first_id, second_id))
    assert len(published) == 3
    assert [{key: uid for key, (uid, _) in each.items()} for each in (published, first)] == [
        {key: before for key, (_, before) in each.items()} for each in (first, second)
    ]
    with analyzed.database.read() as session:
        deliveries = session.scalars(select(Delivery)).all()
        assert sorted(d.destination.name for d in deliveries) == ["pacs"] * 3 + ["reports-only"] * 3


def reports(
    gateway: Gateway, review_id: UUID | None
) -> dict[tuple[str, str], tuple[str, str | None]]:
    """UID and predecessor of each report of a set, by selection and spec."""
    with gateway.database.read() as session:
        made = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        found = {}
        for each in made.objects:
            if each.spec.startswith("sr"):
                seen = read_back_report(gateway.services.store.path(each.file))
                for selection in each.selections:
                    found[shortest(selection), shortest([each.spec])] = (
                        seen.sop_instance_uid,
                        seen.predecessor_uid,
                    )
        return found


def test_a_review_waits_for_the_publication_of_its_analysis(analyzed: Gateway) -> None:
    sign(analyzed, Decision.ACCEPT, "malignant")
    job = analyzed.job(JobKind.SIGN)
    assert (job.status, job.error) == (
        JobStatus.QUEUED,
        "the reviewed analysis is not published yet",
    )
    publish(analyzed)
    analyzed.clock.skip(minutes=1)
    run(analyzed)
    assert newest_report(analyzed).verified


def test_a_second_run_changes_nothing(analyzed: Gateway) -> None:
    publish(analyzed)
    sign(analyzed, Decision.ACCEPT, "malignant")
    with analyzed.database.write() as session:
        session.scalars(select(Job).where(Job.kind == JobKind.SIGN)).one().status = JobStatus.QUEUED
    run(analyzed)
    assert analyzed.job(JobKind.SIGN).status is JobStatus.DONE
    with analyzed.database.read() as session:
        assert len(session.scalars(select(ResultSet)).all()) == 2


def test_a_selection_that_changes_meanwhile_is_used(analyzed: Gateway) -> None:
    publish(analyzed)
    put_signature(analyzed, Decision.ACCEPT, "malignant")
    with analyzed.database.write() as session:
        claim = jobs.claim(session, analyzed.job(JobKind.SIGN).id, analyzed.clock())
    assert claim is not None
    put_in = job_handlers(analyzed.services)[JobKind.SIGN].handle(claim, analyzed.clock())
    with analyzed.database.write() as session:
        delivery_id = session.scalars(select(Delivery.id)).one()
        results.update_selection(session, delivery_id, [stored("seg")], [], analyzed.clock())
    with (
        pytest.raises(PrerequisitePending, match="just changed"),
        analyzed.database.write() as session,
    ):
        put_in(session, analyzed.clock())


def test_a_review_that_cannot_be_published_is_reported(analyzed: Gateway) -> None:
    sign(analyzed, Decision.ACCEPT, "malignant")
    for _ in range(jobs.MAX_ATTEMPTS[JobKind.SIGN] - 1):
        run(analyzed)
    assert analyzed.job(JobKind.SIGN).status is JobStatus.DEAD_LETTER
    assert analyzed.tags()[-1] == "worker:review:failed"


def test_a_review_that_is_not_signed_is_refused(analyzed: Gateway) -> None:
    publish(analyzed)
    with analyzed.database.write() as session:
        draft = Review(
            analysis_id=session.scalars(select(Analysis.id)).one(),
            reader_id=session.scalars(select(User.id)).one(),
            decision=Decision.ACCEPT, final_label="malignant", created_at=analyzed.clock(),
        )  # fmt: skip
        session.add(draft)
        session.flush()
        jobs.enqueue(session, JobKind.SIGN, key="draft", subject_id=draft.id, now=analyzed.clock())
    run(analyzed)
    job = analyzed.job(JobKind.SIGN)
    assert (job.status, job.error) == (JobStatus.DEAD_LETTER, "the review is not signed")
