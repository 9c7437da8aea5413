import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from db import reviews
from db.files import instance_file
from db.schema import (
    Analysis,
    AuditEvent,
    Finding,
    FindingKind,
    Instance,
    Job,
    JobKind,
    Review,
    Study,
    StudyStatus,
    User,
)
from dicom.images.frames import decode_frames
from tests.webui.conftest import Visitor
from tests.webui.seeding import PASSWORD, Hospital, Picture, cine, still
from webui.study import rendering

SPICULATED = Picture([still("spiculated", 1)], (0.03, 0.1, 0.87))
CINE = Picture(cine("fibroadenoma", 2, 9), (0.1, 0.8, 0.1))
BARE = Picture([still("cyst", 3)], (0.1, 0.8, 0.1), calibrated=False)
DOPPLER = Picture([still("normal", 4)], (1, 0, 0), refused="color-doppler")
CHANGED = {
    "decision": "modify",
    "final_label": "benign",
    "reason_modify": "Class is wrong",
    "birads": "3",
    "comment": "smooth",
}


@pytest.fixture
def study_id(hospital: Hospital) -> UUID:
    return hospital.study(SPICULATED, CINE, BARE, DOPPLER, name="Berg^Anna")


def _viewer(page: str) -> list[dict[str, object]]:
    data = page.partition('id="viewer-data">')[2].partition("</script>")[0]
    images: list[dict[str, object]] = json.loads(data)["images"]
    return images


def _events(hospital: Hospital, tag: str) -> list[AuditEvent]:
    with hospital.database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.tag == tag)))


def _analysis_id(hospital: Hospital, study_id: UUID) -> UUID:
    with hospital.database.read() as session:
        return session.get_one(Study, study_id).analyses[-1].id


def _saved(visitor: Visitor, hospital: Hospital, study_id: UUID, form: Mapping[str, str]) -> UUID:
    """A draft of hers; its id."""
    analysis_id = str(_analysis_id(hospital, study_id))
    answer = visitor.post(f"/study/{study_id}/review", analysis_id=analysis_id, sign="1", **form)
    assert answer.status_code == 303, answer.text
    return UUID(answer.headers["Location"].split("/")[-2])


def _signed(visitor: Visitor, study_id: UUID, review_id: UUID) -> None:
    address = f"/study/{study_id}/review/{review_id}/sign"
    shown = visitor.get(address).text.partition('name="shown" value="')[2].partition('"')[0]
    assert visitor.post(address, shown=shown, password=PASSWORD).status_code == 303


# ------------------------------------------------------------------------------ the page


def test_the_page_says_what_the_ai_found_and_that_nobody_verified_it(
    visitor: Visitor, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    for text in ("Berg, Anna", "Unverified AI result, for research use only", "87 %"):
        assert text in page
    assert "mm²" in page
    assert "not calibrated" in page
    assert "color-doppler" in page
    assert "sonogate 0.1.0, default 1.0" in page
    assert "Phantom data" not in page


def test_a_phantom_is_called_one(visitor: Visitor, hospital: Hospital) -> None:
    study_id = hospital.receive([BARE], patient_id="PHANTOM-7")
    visitor.sign_in("reader")
    assert "Phantom data, not a patient" in visitor.get(f"/study/{study_id}").text


def test_the_viewer_gets_every_image_with_its_overlays(visitor: Visitor, study_id: UUID) -> None:
    visitor.sign_in("reader")
    first, cine_view, bare, refused = _viewer(visitor.get(f"/study/{study_id}").text)
    assert (first["columns"], first["rows"], first["frames"]) == (320, 240, 1)
    assert first["spacing_mm"] == pytest.approx([0.16, 0.16])
    assert [frame["number"] for frame in _list(cine_view["sampled"])] == [1, 3, 5, 7, 9]
    assert cine_view["frame_time_ms"] == 50
    outlined = {outline["frame"] for outline in _list(cine_view["outlines"])}
    assert outlined <= {1, 3, 5, 7, 9}
    assert cine_view["first"] in outlined
    assert bare["spacing_mm"] is None
    assert refused["label"] is None
    assert "color Doppler" in str(refused["refused"])


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


def test_the_page_is_there_before_the_analysis(visitor: Visitor, hospital: Hospital) -> None:
    study_id = hospital.receive([BARE])
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert "Waiting for more images" in page
    assert "No AI result to review yet" in page


def test_each_look_is_an_event(visitor: Visitor, hospital: Hospital, study_id: UUID) -> None:
    visitor.sign_in("reader")
    visitor.get(f"/study/{study_id}")
    visitor.get(f"/study/{study_id}")
    looks = _events(hospital, "web:study:viewed")
    assert [(look.actor, look.study_id) for look in looks] == [("user:reader", study_id)] * 2


def test_a_picture_opened_without_its_page_is_a_look_too(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    folder = _first_folder(hospital, study_id)
    visitor.get(f"{folder}/frame/1.jpg")
    visitor.get(f"{folder}/frame/1.jpg")
    assert len(_events(hospital, "web:study:viewed")) == 1


def test_an_unknown_study_is_not_there_and_leaves_no_event(
    visitor: Visitor, hospital: Hospital
) -> None:
    visitor.sign_in("reader")
    assert visitor.get(f"/study/{uuid4()}").status_code == 404
    assert not _events(hospital, "web:study:viewed")


# ------------------------------------------------------------------------------ pictures


def _first_folder(hospital: Hospital, study_id: UUID, number: int = 1) -> str:
    with hospital.database.read() as session:
        found = session.scalars(select(Instance).where(Instance.number == number)).one()
    return f"/study/{study_id}/instance/{found.id}"


def test_a_frame_comes_as_it_was_received(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    answer = visitor.get(f"{_first_folder(hospital, study_id, 2)}/frame/5.jpg")
    assert answer.headers["Cache-Control"] == "private, max-age=600, immutable"
    with Image.open(io.BytesIO(answer.data)) as image:
        shown = np.asarray(image.convert("L")).astype(int)
    assert np.abs(shown - CINE.frames[4].image).max() < 24  # JPEG at quality 95


def test_frames_that_do_not_exist_are_not_found(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    folder = _first_folder(hospital, study_id, 2)
    for address in ("frame/0.jpg", "frame/10.jpg", "thumbnail/10.jpg"):
        assert visitor.get(f"{folder}/{address}").status_code == 404


def test_a_thumbnail_is_small(visitor: Visitor, hospital: Hospital, study_id: UUID) -> None:
    visitor.sign_in("reader")
    answer = visitor.get(f"{_first_folder(hospital, study_id)}/thumbnail/1.jpg")
    with Image.open(io.BytesIO(answer.data)) as image:
        assert image.size == (192, 144)


def test_a_heat_map_is_colored_where_it_is_warm_and_clear_where_it_is_cold(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    images = _viewer(visitor.get(f"/study/{study_id}").text)
    address = _list(images[0]["sampled"])[0]["heatmap"]
    with Image.open(io.BytesIO(visitor.get(str(address)).data)) as image:
        assert (image.mode, image.size) == ("RGBA", (320, 240))
        alpha = np.asarray(image)[..., 3]
    mask = SPICULATED.frames[0].mask
    assert alpha[mask].mean() > 150
    assert alpha[0, 0] == 0


def test_a_damaged_file_gives_its_coded_reason_and_no_trace(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    with hospital.database.read() as session:
        damaged = session.scalars(select(Instance).where(Instance.number == 1)).one().id
    path = hospital.files.path(instance_file(damaged))
    path.write_bytes(path.read_bytes()[:20_000])
    answer = visitor.get(f"{_first_folder(hospital, study_id)}/frame/1.jpg")
    assert answer.status_code == 422
    assert "Error code: " in answer.text
    assert "Traceback" not in answer.text


def test_a_picture_is_found_only_through_its_own_study(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    other = hospital.study(BARE)
    visitor.sign_in("reader")
    folder = _first_folder(hospital, study_id, 2).replace(str(study_id), str(other))
    for address in ("frame/1.jpg", f"heatmap/{_analysis_id(hospital, study_id)}/1.png"):
        assert visitor.get(f"{folder}/{address}").status_code == 404


def test_the_colors_of_a_heat_map_grow_brighter_all_the_way(tmp_path: Path) -> None:
    path = tmp_path / "ramp.png"
    Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis]).save(path)
    with Image.open(io.BytesIO(rendering.heatmap_png(path))) as image:
        pixels = np.asarray(image)[0].astype(float)
    brightness = pixels[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > -1).all()
    assert brightness[-1] > 220


def test_a_frame_is_taken_from_the_file_alone(hospital: Hospital, study_id: UUID) -> None:
    with hospital.database.read() as session:
        found = session.scalars(select(Instance).where(Instance.number == 2)).one()
    path = hospital.files.path(found.file)
    assert next(decode_frames(path, [3])).shape == (240, 320)
    assert rendering.frame_jpeg(path, 4)[:2] == b"\xff\xd8"


# ------------------------------------------------------------------------------ the review


def test_a_draft_is_kept_and_shown_again(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    _saved(visitor, hospital, study_id, CHANGED)
    page = visitor.get(f"/study/{study_id}").text
    assert "Draft, not signed" in page
    assert 'value="modify" checked' in page
    assert ">smooth</textarea>" in page
    assert "Unverified AI result" in page


def test_an_incomplete_review_is_sent_back_with_the_reason(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    analysis_id = str(_analysis_id(hospital, study_id))
    address = f"/study/{study_id}/review"
    plain = visitor.post(address, analysis_id=analysis_id, decision="reject")
    none = visitor.post(address, analysis_id=analysis_id)
    assert (plain.status_code, none.status_code) == (422, 422)
    assert "Choose why the AI result is changed or rejected." in plain.text
    assert "Choose to accept, modify or reject the AI result." in none.text


def test_signing_asks_for_the_password(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = _saved(visitor, hospital, study_id, {"decision": "accept"})
    address = f"/study/{study_id}/review/{review_id}/sign"
    answer = visitor.post(address, shown="any", password="wrong")
    assert answer.status_code == 422
    assert "Incorrect password" in answer.text
    with hospital.database.read() as session:
        assert session.get_one(Review, review_id).signed_at is None


def test_a_reader_of_no_organization_is_told_who_must_enter_it(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    with hospital.database.write() as session:
        session.get_one(User, hospital.people["reader"].id).organization = ""
    visitor.sign_in("reader")
    review_id = _saved(visitor, hospital, study_id, {"decision": "accept"})
    address = f"/study/{study_id}/review/{review_id}/sign"
    told = "An administrator must enter your organization before you can sign."
    page = visitor.get(address).text
    assert told in page
    assert 'name="password"' not in page
    assert "No organization" in visitor.get("/account").text
    answer = visitor.post(address, shown="any", password=PASSWORD)
    assert (answer.status_code, told in answer.text) == (409, True)
    with hospital.database.read() as session:
        assert session.get_one(Review, review_id).signed_at is None


def test_signing_makes_it_final_and_queues_the_verified_report(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = _saved(visitor, hospital, study_id, CHANGED)
    _signed(visitor, study_id, review_id)
    with hospital.database.read() as session:
        review = session.get_one(Review, review_id)
        jobs = session.scalars(select(Job).where(Job.kind == JobKind.SIGN)).all()
    assert (review.signed_at, review.final_label, review.birads) == (hospital.now, "benign", "3")
    assert [job.subject_id for job in jobs] == [review_id]
    page = visitor.get(f"/study/{study_id}").text
    assert "Verified: signed by Reader" in page
    assert "Class is wrong" in page
    assert 'Class changed <span class="label benign">Benign</span>' in visitor.get("/worklist").text


def test_the_story_is_told_in_words(visitor: Visitor, hospital: Hospital, study_id: UUID) -> None:
    visitor.sign_in("reader")
    _signed(visitor, study_id, _saved(visitor, hospital, study_id, CHANGED))
    page = visitor.get(f"/study/{study_id}").text
    for text in ("Image received (4 times)", "Study analyzed", "Review signed", "Study viewed"):
        assert text in page


def test_another_reader_cannot_sign_or_see_somebodys_draft(
    visitor: Visitor, other_visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = _saved(visitor, hospital, study_id, {"decision": "accept"})
    hospital.hire("second", hospital.people["reader"].role)
    other_visitor.sign_in("second")
    address = f"/study/{study_id}/review/{review_id}/sign"
    assert other_visitor.get(address).status_code == 403
    assert other_visitor.post(address, shown="x", password=PASSWORD).status_code == 403


def test_a_second_reader_is_told_that_the_first_signed(
    visitor: Visitor, other_visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    hospital.hire("second", hospital.people["reader"].role)
    other_visitor.sign_in("second")
    late = _saved(other_visitor, hospital, study_id, CHANGED)
    address = f"/study/{study_id}/review/{late}/sign"
    shown = other_visitor.get(address).text.partition('name="shown" value="')[2].partition('"')[0]
    _signed(visitor, study_id, _saved(visitor, hospital, study_id, {"decision": "accept"}))
    answer = other_visitor.post(address, shown=shown, password=PASSWORD)
    assert answer.status_code == 409
    assert "Reader signed a review of this analysis meanwhile" in answer.text


def test_a_signed_review_is_amended_by_a_new_one(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    first = _saved(visitor, hospital, study_id, {"decision": "accept"})
    _signed(visitor, study_id, first)
    assert visitor.post(f"/study/{study_id}/review/{first}/amend").status_code == 303
    assert "Amend review" in visitor.get(f"/study/{study_id}").text
    hospital.now = visitor.clock.moment
    visitor.clock.pass_by(minutes=1)
    second = _saved(visitor, hospital, study_id, CHANGED)
    _signed(visitor, study_id, second)
    with hospital.database.read() as session:
        assert session.get_one(Review, second).predecessor_id == first
    page = visitor.get(f"/study/{study_id}").text
    assert "Signed reviews (2)" in page
    assert "amends the previous review" in page


def test_a_newer_analysis_is_told_and_stops_the_signature(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    review_id = _saved(visitor, hospital, study_id, CHANGED)
    page = visitor.get(f"/study/{study_id}").text
    address = f"/study/{study_id}/review/{review_id}/sign"
    shown = visitor.get(address).text.partition('name="shown" value="')[2].partition('"')[0]
    news = next(
        part.partition('"')[0].replace("&amp;", "&")
        for part in page.split('hx-get="')[1:]
        if "/updates?" in part
    )
    assert visitor.get(news).status_code == 204
    with hospital.database.write() as session:
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


def test_while_new_images_come_the_page_says_so(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    with hospital.database.write() as session:
        session.get_one(Study, study_id).status = StudyStatus.RECEIVING
    visitor.sign_in("reader")
    assert "New images of this study are being received" in visitor.get(f"/study/{study_id}").text


def test_an_administrator_looks_and_does_not_review(visitor: Visitor, study_id: UUID) -> None:
    visitor.sign_in("admin")
    page = visitor.get(f"/study/{study_id}").text
    assert "Only radiologists can review and sign" in page
    assert 'id="review"' not in page


def test_deliveries_stand_on_the_page(visitor: Visitor, hospital: Hospital, study_id: UUID) -> None:
    hospital.publish(study_id, hospital.destination("pacs"), "association refused")
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert "Retrying" in page
    assert "association refused" in page


def test_lesions_are_numbered_as_in_the_report(
    visitor: Visitor, hospital: Hospital, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    images = _viewer(visitor.get(f"/study/{study_id}").text)
    shown = {outline["lesion"] for image in images for outline in _list(image["outlines"])}
    with hospital.database.read() as session:
        kind = Finding.kind == FindingKind.LESION
        assert shown == set(session.scalars(select(Finding.number).where(kind)))


# ------------------------------------------------------------------------------ undecided


def test_an_undecided_result_says_why_and_asks_the_reader_for_a_class(
    visitor: Visitor, hospital: Hospital
) -> None:
    unsure = replace(SPICULATED, says=(0.2, 0.35, 0.45), confidence_threshold=0.6)
    study_id = hospital.study(unsure)
    visitor.sign_in("reader")
    page = visitor.get(f"/study/{study_id}").text
    assert 'AI: <span class="label undecided">Undecided</span>' in page
    assert "Confidence 45.0 % is below the 60.0 % threshold" in page
    assert "Most probable class: malignant" in page
    assert '<span class="label malignant">' not in page
    assert reviews.NO_CLASS in page
    [image] = _viewer(page)
    assert (image["label"], image["displayed_class"]) == ("malignant", "undecided")
    assert [outline["label"] for outline in _list(image["outlines"])] == ["undecided"]
    own = {"decision": "modify", "final_label": "malignant", "reason_modify": reviews.NO_CLASS}
    _signed(visitor, study_id, _saved(visitor, hospital, study_id, own))
    page = visitor.get(f"/study/{study_id}").text
    assert "Class assigned" in page
    assert (
        'Class assigned <span class="label malignant">Malignant</span>'
        in visitor.get("/worklist").text
    )


def test_a_reader_of_a_decided_result_is_not_offered_that_reason(
    visitor: Visitor, study_id: UUID
) -> None:
    visitor.sign_in("reader")
    assert reviews.NO_CLASS not in visitor.get(f"/study/{study_id}").text
