from dataclasses import replace
from uuid import UUID, uuid4

from sqlalchemy import select

from db import reviews
from db.schema import (
    Analysis,
    AuditEvent,
    Instance,
    Job,
    JobKind,
    Review,
    Study,
    StudyStatus,
    User,
)
from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, Site
from tests.webui.study.conftest import (
    MODIFIED,
    SPICULATED,
    UNCALIBRATED,
    as_list,
    find_analysis_id,
    instance_address,
    save_draft,
    shown_digest,
    sign_review,
    viewer_images,
)


def _events(site: Site, tag: str) -> list[AuditEvent]:
    with site.database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.tag == tag)))


def test_the_page_shows_the_ai_result_as_unverified(visitor: Visitor, study_id: UUID) -> None:
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    for text in ("Berg, Anna", "Unverified AI result, for research use only", "87 %"):
        assert text in page
    assert "mm²" in page
    assert "not calibrated" in page
    assert "color-doppler" in page
    assert "sonogate 0.1.0, default 1.0" in page
    assert "Phantom data" not in page


def test_a_phantom_is_marked(visitor: Visitor, site: Site) -> None:
    study_id = site.receive_study([UNCALIBRATED], patient_id="PHANTOM-7")
    visitor.sign_in("reader")
    assert "Phantom data, not a patient" in visitor.get(f"/study/{study_id}").text


def test_the_page_opens_before_the_analysis(visitor: Visitor, site: Site) -> None:
    study_id = site.receive_study([UNCALIBRATED])
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert "Waiting for more images" in page
    assert "No AI result to review yet" in page


def test_each_view_is_an_audit_event(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    visitor.get(f"/study/{study_id}")
    visitor.get(f"/study/{study_id}")
    looks = _events(site, "web:study:viewed")
    assert [(look.actor, look.study_id) for look in looks] == [("user:reader", study_id)] * 2


def test_an_image_opened_without_its_page_is_a_view_too(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    folder = instance_address(site, study_id)
    visitor.get(f"{folder}/frame/1.jpg")
    visitor.get(f"{folder}/frame/1.jpg")
    assert len(_events(site, "web:study:viewed")) == 1


def test_an_unknown_study_is_not_found_and_leaves_no_audit_event(
    visitor: Visitor, site: Site
) -> None:
    visitor.sign_in("reader")
    assert visitor.get(f"/study/{uuid4()}").status_code == 404
    assert not _events(site, "web:study:viewed")


def test_frames_that_do_not_exist_are_not_found(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    folder = instance_address(site, study_id, 2)
    for address in ("frame/0.jpg", "frame/10.jpg", "thumbnail/10.jpg"):
        assert visitor.get(f"{folder}/{address}").status_code == 404


def test_a_damaged_file_gives_an_error_code_and_no_traceback(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    with site.database.read() as session:
        damaged = session.scalars(select(Instance).where(Instance.number == 1)).one().file
    path = site.files.path(damaged)
    path.write_bytes(path.read_bytes()[:20_000])
    answer = visitor.get(f"{instance_address(site, study_id)}/frame/1.jpg")
    assert answer.status_code == 422
    assert "Error code: " in answer.text
    assert "Traceback" not in answer.text


def test_a_draft_is_saved_and_shown_again(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    save_draft(visitor, site, study_id, MODIFIED)
    page = visitor.get(f"/study/{study_id}").text
    assert "Draft, not signed" in page
    assert 'value="modify" checked' in page
    assert ">smooth</textarea>" in page
    assert "Unverified AI result" in page


def test_signing_requires_the_password(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    review_id = save_draft(visitor, site, study_id, {"decision": "accept"})
    address = f"/study/{study_id}/review/{review_id}/sign"
    answer = visitor.post(address, shown="any", password="wrong")
    assert answer.status_code == 422
    assert "Incorrect password" in answer.text
    with site.database.read() as session:
        assert session.get_one(Review, review_id).signed_at is None


def test_a_reader_without_an_organization_cannot_sign(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    with site.database.write() as session:
        session.get_one(User, site.users["reader"].id).organization = ""
    visitor.sign_in("reader")
    review_id = save_draft(visitor, site, study_id, {"decision": "accept"})
    address = f"/study/{study_id}/review/{review_id}/sign"
    told = "An administrator must enter your organization before you can sign."
    page = visitor.get(address).text
    assert told in page
    assert 'name="password"' not in page
    assert "No organization" in visitor.get("/account").text
    answer = visitor.post(address, shown="any", password=PASSWORD)
    assert (answer.status_code, told in answer.text) == (409, True)
    with site.database.read() as session:
        assert session.get_one(Review, review_id).signed_at is None


def test_signing_queues_the_verified_report(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    review_id = save_draft(visitor, site, study_id, MODIFIED)
    sign_review(visitor, study_id, review_id)
    with site.database.read() as session:
        review = session.get_one(Review, review_id)
        jobs = session.scalars(select(Job).where(Job.kind == JobKind.SIGN)).all()
    assert (review.signed_at, review.final_label, review.birads) == (site.now, "benign", "3")
    assert [job.subject_id for job in jobs] == [review_id]
    page = visitor.get(f"/study/{study_id}").text
    assert "Verified: signed by Reader" in page
    assert "Incorrect class" in page
    assert (
        'Class changed</span> <span class="label benign">Benign</span>'
        in visitor.get("/worklist").text
    )


def test_a_draft_is_visible_only_to_its_reader(
    visitor: Visitor, other_visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = save_draft(visitor, site, study_id, {"decision": "accept"})
    site.add_user("second", site.users["reader"].role)
    other_visitor.sign_in("second")
    address = f"/study/{study_id}/review/{review_id}/sign"
    assert other_visitor.get(address).status_code == 403
    assert other_visitor.post(address, shown="x", password=PASSWORD).status_code == 403


def test_a_second_reader_cannot_sign_after_the_first(
    visitor: Visitor, other_visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    site.add_user("second", site.users["reader"].role)
    other_visitor.sign_in("second")
    late = save_draft(other_visitor, site, study_id, MODIFIED)
    address = f"/study/{study_id}/review/{late}/sign"
    shown = shown_digest(other_visitor, address)
    sign_review(visitor, study_id, save_draft(visitor, site, study_id, {"decision": "accept"}))
    answer = other_visitor.post(address, shown=shown, password=PASSWORD)
    assert answer.status_code == 409
    assert "Reader has signed a review of this analysis" in answer.text


def test_a_signed_review_is_amended_by_a_new_one(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    first = save_draft(visitor, site, study_id, {"decision": "accept"})
    sign_review(visitor, study_id, first)
    assert visitor.post(f"/study/{study_id}/review/{first}/amend").status_code == 303
    assert "Amend review" in visitor.get(f"/study/{study_id}").text
    site.now = visitor.clock.moment
    visitor.clock.advance(minutes=1)
    second = save_draft(visitor, site, study_id, MODIFIED)
    sign_review(visitor, study_id, second)
    with site.database.read() as session:
        assert session.get_one(Review, second).predecessor_id == first
    page = visitor.get(f"/study/{study_id}").text
    assert "Signed reviews (2)" in page
    assert "amends the previous review" in page


def test_a_newer_analysis_is_reported_and_prevents_signing(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = save_draft(visitor, site, study_id, MODIFIED)
    page = visitor.get(f"/study/{study_id}").text
    address = f"/study/{study_id}/review/{review_id}/sign"
    shown = shown_digest(visitor, address)
    news = next(
        part.partition('"')[0].replace("&amp;", "&")
        for part in page.split('hx-get="')[1:]
        if "/updates?" in part
    )
    assert visitor.get(news).status_code == 204
    with site.database.write() as session:
        old = session.scalars(select(Analysis)).one()
        session.add(_successor(old))
    answer = visitor.get(news)
    assert "A newer analysis of this study is available" in answer.text
    refused = visitor.post(address, shown=shown, password=PASSWORD)
    assert refused.status_code == 409
    assert "newer analysis" in refused.text


def _successor(old: Analysis) -> Analysis:
    return Analysis(
        study_id=old.study_id,
        revision=2,
        study_digest="f" * 64,
        pipeline_version=old.pipeline_version,
        classifier_digest=old.classifier_digest,
        segmenter_digest=old.segmenter_digest,
        status=old.status,
        label="benign",
        p_normal=0.1,
        p_benign=0.8,
        p_malignant=0.1,
        predecessor_id=old.id,
        started_at=old.started_at,
        finished_at=old.finished_at,
    )


def test_a_page_warns_while_new_images_arrive(visitor: Visitor, site: Site, study_id: UUID) -> None:
    with site.database.write() as session:
        session.get_one(Study, study_id).status = StudyStatus.RECEIVING
    visitor.sign_in("reader")
    assert "New images of this study are being received" in visitor.get(f"/study/{study_id}").text


def test_an_administrator_views_but_does_not_review(visitor: Visitor, study_id: UUID) -> None:
    visitor.sign_in("admin")
    page = visitor.get(f"/study/{study_id}").text
    assert "Only radiologists can review and sign" in page
    assert 'id="review"' not in page


def test_deliveries_are_shown(visitor: Visitor, site: Site, study_id: UUID) -> None:
    site.publish_results(study_id, site.add_destination("pacs"), "association refused")
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert "Retrying" in page
    assert "association refused" in page


def test_an_undecided_result_gives_its_threshold_and_asks_the_reader_for_a_class(
    visitor: Visitor, site: Site
) -> None:
    unsure = replace(SPICULATED, probabilities=(0.2, 0.35, 0.45), confidence_threshold=0.6)
    study_id = site.add_study(unsure)
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert 'AI: <span class="label undecided">Undecided</span>' in page
    assert "Confidence 45.0 % is below the 60.0 % threshold" in page
    assert "Most probable class: malignant" in page
    assert '<span class="label malignant">' not in page
    assert reviews.NO_CLASS in page
    [image] = viewer_images(page)
    assert (image["label"], image["displayed_class"]) == ("malignant", "undecided")
    assert [outline["label"] for outline in as_list(image["outlines"])] == ["undecided"]
    own = {"decision": "modify", "final_label": "malignant", "reason_modify": reviews.NO_CLASS}
    sign_review(visitor, study_id, save_draft(visitor, site, study_id, own))
    page = visitor.get(f"/study/{study_id}").text
    assert "Class assigned" in page
    assert (
        'Class assigned</span> <span class="label malignant">Malignant</span>'
        in visitor.get("/worklist").text
    )


def test_a_reader_of_a_decided_result_is_not_offered_that_reason(
    visitor: Visitor, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    assert reviews.NO_CLASS not in visitor.get(f"/study/{study_id}").text


def test_an_incomplete_review_is_refused_with_the_reason(
    visitor: Visitor, site: Site, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    analysis_id = str(find_analysis_id(site, study_id))
    address = f"/study/{study_id}/review"
    plain = visitor.post(address, analysis_id=analysis_id, decision="reject")
    none = visitor.post(address, analysis_id=analysis_id)
    assert (plain.status_code, none.status_code) == (422, 422)
    assert "Choose a reason." in plain.text
    assert "Choose to accept, modify or reject the AI result." in none.text


def test_the_study_history_is_shown(visitor: Visitor, site: Site, study_id: UUID) -> None:
    visitor.sign_in("reader")
    sign_review(visitor, study_id, save_draft(visitor, site, study_id, MODIFIED))
    page = visitor.get(f"/study/{study_id}").text
    for text in ("Image received (4 times)", "Study analyzed", "Review signed", "Study viewed"):
        assert text in page
