"""Outlines that a reader changed, from the signature to the sent objects."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from sqlalchemy import select

from db import outlines, reviews
from db.outlines import ReaderOutline
from db.reviews import Judgment
from db.schema import (
    Analysis,
    Decision,
    Delivery,
    DeliveryStatus,
    Finding,
    FindingKind,
    JobKind,
    OutlineOrigin,
    ResultSet,
    Review,
    Role,
    User,
)
from dicom.codes import AREA
from dicom.results.segmentation_reader import ReadSegmentation, read_back_segmentation
from dicom.results.sr.verify import ReadReport, read_back_report
from dicom.terms.lesions import Point
from tests.workers.fake_images import COLUMNS, ROWS, draw_frame, write_image
from tests.workers.gateway import Gateway, stored
from tests.workers.pacs import run_pacs

SQUARE = ((20.0, 20.0), (60.0, 20.0), (60.0, 50.0), (20.0, 50.0))
DRAWN_UID = generate_uid(prefix=None)


@pytest.fixture
def published(gateway: Gateway, tmp_path: Path) -> Gateway:
    """One image with two lesions and one with one, published; and a radiologist."""
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame((100, 80, 20), (160, 40, 12))))
    gateway.receive(write_image(tmp_path / "b.dcm", draw_frame((60, 60, 15)), number=2))
    publish(gateway)
    return gateway


def publish(gateway: Gateway) -> None:
    """Analyze what was received and make its objects; there is a radiologist to read them."""
    gateway.runner.run(gateway.job(JobKind.ANALYZE).id, JobKind.ANALYZE)
    gateway.runner.run(gateway.job(JobKind.PUBLISH).id, JobKind.PUBLISH)
    with gateway.database.write() as session:
        session.add(
            User(
                username="roentgen",
                display_name="W. Röntgen",
                dicom_name="Röntgen^Wilhelm",
                organization="Klinik",
                role=Role.RADIOLOGIST,
                password_hash="-",
                created_at=gateway.clock(),
            )
        )


def lesions(gateway: Gateway) -> list[Finding]:
    """In the order of their numbers."""
    with gateway.database.read() as session:
        kind = Finding.kind == FindingKind.LESION
        return list(session.scalars(select(Finding).where(kind).order_by(Finding.number)))


def outline(lesion: Finding, contour: tuple[Point, ...], tracking_uid: str = "") -> ReaderOutline:
    """Of `lesion`; of a new one beside it when given a UID."""
    return ReaderOutline(
        lesion.instance_id,
        lesion.frame_number,
        tracking_uid or lesion.tracking_uid,
        4 if tracking_uid else lesion.number,
        OutlineOrigin.DRAWN if tracking_uid else OutlineOrigin.CORRECTED,
        contour,
    )


def sign(gateway: Gateway, changed: Sequence[ReaderOutline], amends: UUID | None = None) -> UUID:
    gateway.clock.skip(minutes=1)
    now = gateway.clock()
    said = Judgment(Decision.MODIFY, "malignant", None, "Inaccurate outline", "", tuple(changed))
    if not changed:
        said = Judgment(Decision.ACCEPT)
    with gateway.database.write() as session:
        reader = session.scalars(select(User)).one()
        if amends:
            reviews.amend(session, amends, reader, now)
        analysis_id = session.scalars(select(Analysis.id)).one()
        draft = reviews.save_draft(session, analysis_id, reader, said, now)
        reviews.sign(session, draft.id, reader, reviews.load_judgment(draft).digest, now)
    gateway.runner.run(gateway.job(JobKind.SIGN).id, JobKind.SIGN)
    return draft.id


def made(gateway: Gateway, review_id: UUID | None) -> tuple[list[ReadSegmentation], ReadReport]:
    with gateway.database.read() as session:
        found = session.scalars(select(ResultSet).where(ResultSet.review_id == review_id)).one()
        paths = [(each.spec, gateway.services.store.path(each.file)) for each in found.objects]
    (report,) = (read_back_report(path) for spec, path in paths if spec == stored("sr"))
    return [read_back_segmentation(path) for spec, path in paths if spec == stored("seg")], report


def square() -> NDArray[np.bool_]:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[20:50, 20:60] = True
    return mask


def test_a_corrected_outline_becomes_a_segmentation_with_its_pixels_and_tracking_uid(
    published: Gateway,
) -> None:
    first, second, _ = lesions(published)
    (segmentation,), report = made(published, sign(published, [outline(first, SQUARE)]))
    corrected, untouched = segmentation.segments
    assert (corrected.tracking_uid, untouched.tracking_uid) == (
        first.tracking_uid,
        second.tracking_uid,
    )
    assert (corrected.algorithm_type, untouched.algorithm_type) == ("SEMIAUTOMATIC", "AUTOMATIC")
    assert (corrected.masks[1] == square()).all()
    areas = {each.tracking_uid: each.measurements[AREA.value] for each in report.lesions}
    area_mm2, unit = areas[first.tracking_uid]
    assert area_mm2 == pytest.approx(12.0)  # 40 x 30 px of 0.1 mm
    assert unit == "mm2"


def test_a_drawn_lesion_is_manual_and_a_removed_one_is_left_out(published: Gateway) -> None:
    first, second, third = lesions(published)
    changed = [outline(second, ()), outline(first, SQUARE, DRAWN_UID)]
    (segmentation,), report = made(published, sign(published, changed))
    assert [(each.tracking_uid, each.algorithm_type) for each in segmentation.segments] == [
        (first.tracking_uid, "AUTOMATIC"),
        (DRAWN_UID, "MANUAL"),
    ]
    assert (segmentation.segments[1].masks[1] == square()).all()
    assert {lesion.tracking_uid for lesion in report.lesions} == {
        first.tracking_uid,
        DRAWN_UID,
        third.tracking_uid,
    }


def test_a_lesion_that_the_network_missed_on_a_normal_image_is_reported(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.receive(write_image(tmp_path / "a.dcm", draw_frame(), spacing_mm=None))
    publish(gateway)
    with gateway.database.read() as session:
        image = session.scalars(select(Finding)).one()
    (segmentation,), report = made(gateway, sign(gateway, [outline(image, SQUARE, DRAWN_UID)]))
    assert [each.algorithm_type for each in segmentation.segments] == ["MANUAL"]
    assert {lesion.tracking_uid for lesion in report.lesions} == {DRAWN_UID}
    assert report.label == "malignant"


def test_the_edited_segmentation_is_delivered_before_its_report(
    published: Gateway, free_port: int
) -> None:
    review_id = sign(published, [outline(lesions(published)[0], SQUARE)])
    with run_pacs(port=free_port) as pacs:
        published.run_due()
    (segmentation,), report = made(published, review_id)
    sent = [uid for _, uid in pacs.received]
    assert sent.index(segmentation.sop_instance_uid) < sent.index(report.sop_instance_uid)
    with published.database.read() as session:
        assert set(session.scalars(select(Delivery.status))) == {DeliveryStatus.DELIVERED}


def test_an_amendment_starts_with_the_signed_outlines_and_can_undo_them(
    published: Gateway,
) -> None:
    first, *_ = lesions(published)
    _, unverified = made(published, None)
    first_id = sign(published, [outline(first, SQUARE)])
    (edited,), report = made(published, first_id)
    with published.database.write() as session:
        reader = session.scalars(select(User)).one()
        draft = reviews.amend(session, first_id, reader, published.clock())
        before = session.get_one(Review, first_id)
        assert outlines.load_outlines(draft) == outlines.load_outlines(before) != ()
    segmentations, second = made(published, sign(published, [], first_id))
    assert segmentations == []
    assert second.predecessor_uid == report.sop_instance_uid
    referred = [
        {
            lesion.tracking_uid: lesion.segmentation_uid
            for lesion in each.lesions
            if lesion.segmentation_uid
        }
        for each in (unverified, report, second)
    ]
    assert referred[0] == referred[2]
    assert referred[1][first.tracking_uid] == edited.sop_instance_uid
