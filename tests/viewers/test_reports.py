"""What OHIF shows of our reports: outlines on their frames, labels, and measurements to edit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser
from pydicom.uid import JPEGBaseline8Bit

from dicom.files import write_dataset
from dicom.images.header import read_header
from dicom.images.ultrasound_image import StudyContext
from dicom.results.model import (
    ImageResult,
    LesionResult,
    RefusalReason,
    SignedReview,
    StudyResult,
    apply_review,
)
from dicom.uids import derived_uid
from models.measure import find_lesions
from models.outline import rasterize
from tests.dicom import making
from tests.peers import Orthanc
from tests.viewers.ohif import (
    Annotation,
    Ohif,
    bounding_box,
    intersection_over_union,
    open_ohif,
)

pytestmark = pytest.mark.peer

UNVERIFIED = "AI findings (UNVERIFIED)"
VERIFIED = "Breast US findings (VERIFIED)"
ODD = (301, 403)
"""(rows, columns) whose product is not a multiple of 8."""
EVEN = (240, 320)
UNSURE = (0.25, 0.35, 0.4)


@dataclass(frozen=True)
class Opened:
    """A result set in the viewer."""

    ohif: Ohif
    result: StudyResult

    @property
    def lesions(self) -> list[LesionResult]:
        return [lesion for image in self.result.images for lesion in image.lesions]


OpenReport = Callable[..., Opened]


@pytest.fixture
def study(request: pytest.FixtureRequest) -> StudyContext:
    return replace(
        making.STUDY, study_instance_uid=derived_uid("reports in OHIF", request.node.name)
    )


@pytest.fixture(scope="module")
def window(chromium: Browser, ohif_address: str) -> Iterator[Ohif]:
    """One window for all tests here: it need not fetch the viewer again."""
    with open_ohif(chromium, ohif_address, width=1280, height=720) as opened:
        yield opened


@pytest.fixture
def open_report(window: Ohif, pacs: Orthanc, study: StudyContext, tmp_path: Path) -> OpenReport:
    """Store images and results, those of a review too, and load the last report."""

    def open_it(result: StudyResult, review: SignedReview | None = None) -> Opened:
        result = replace(result, analysis_id=study.study_instance_uid)  # UIDs of its own
        if review is not None:
            review = replace(review, review_id=study.study_instance_uid)
        sources = [image.source for image in result.images]
        sources += [refusal.source for refusal in result.refused_images]
        built = [making.build_results(["seg", "sr"], result)]
        if review is not None:
            built.append(making.build_signed_results(["seg", "sr"], result, review))
        objects = [dataset for made in built for datasets in made.values() for dataset in datasets]
        made = [
            write_dataset(dataset, tmp_path / f"{number}.result.dcm").path
            for number, dataset in enumerate(objects)
        ]
        pacs.store(*sources, *made)
        window.errors.clear()
        window.open_study(read_header(sources[0]).study_instance_uid)
        window.load(VERIFIED if review else UNVERIFIED)
        return Opened(window, apply_review(result, review) if review else result)

    return open_it


def lesion(
    mask: NDArray[np.bool_], *, spacing_mm: float | None = None, **changes: Any
) -> LesionResult:
    """A lesion with the outline that the product finds for the mask."""
    pair = (spacing_mm, spacing_mm) if spacing_mm else None
    outline = find_lesions(mask, pair)[0]
    made = making.lesion(mask, number=changes.pop("number", 1), frame=changes.pop("frame", 1))
    made = replace(made, contour=outline.contour, measurements=outline.measurements)
    return replace(made, **changes)


def discs(shape: tuple[int, int], count: int, **changes: Any) -> list[LesionResult]:
    """Lesions that overlap."""
    radius = min(shape) // 8
    return [
        lesion(
            making.disc(shape, radius * (n + 1), shape[0] // 2 + 3 * n, radius), number=n, **changes
        )
        for n in range(1, count + 1)
    ]


def is_drawn(annotations: Sequence[Annotation], one: LesionResult) -> bool:
    """Whether one of `annotations` outlines the lesion on its frame."""
    return any(
        annotation.frame == one.frame_number
        and intersection_over_union(rasterize(annotation.points.tolist(), one.mask.shape), one.mask)
        >= 0.97
        for annotation in annotations
    )


def assert_outlines_are_shown(opened: Opened, labels: Sequence[str]) -> None:
    """Before hydration, and then as measurements that can be edited, with these labels."""
    ohif, lesions = opened.ohif, opened.lesions
    for tool in ("DICOMSRDisplay", "PlanarFreehandROI"):
        if tool == "PlanarFreehandROI":
            ohif.hydrate()
        found = [
            one for one in ohif.annotations() if one.tool == tool and one.label.startswith("Lesion")
        ]
        assert len(found) == len(lesions)
        assert all(is_drawn(found, one) for one in lesions)
        assert sorted({one.label for one in found}) == sorted(set(labels))
    measured = [one for one in ohif.measurements() if one.tool == "PlanarFreehandROI"]
    assert sorted((one.label, one.frame) for one in measured) == sorted(
        (label, one.frame_number) for label, one in zip(labels, lesions, strict=True)
    )
    for frame in range(1, ohif.frame_count + 1):
        if ohif.frame_count > 1:
            ohif.show_frame(frame)
        meant = sorted(
            box for one in lesions if one.frame_number == frame and (box := bounding_box(one.mask))
        )
        drawn = sorted(ohif.drawn_contours())
        assert len(drawn) == len(meant)
        for box, seen in zip(meant, drawn, strict=True):
            x0, y0, x1, y1 = box
            assert np.allclose((x0, y0, x1 + 1, y1 + 1), seen, atol=1.5)
    assert not ohif.errors


def captions(opened: Opened) -> list[str]:
    """The labels of images in the panel."""
    return [one.label for one in opened.ohif.measurements() if one.tool == "ArrowAnnotate"]


def test_a_gray_still_of_odd_size(
    study: StudyContext, open_report: OpenReport, tmp_path: Path, screenshots: Path
) -> None:
    path = making.write_image(tmp_path / "still.dcm", making.gray(*ODD), study=study)
    result = making.study_result(making.image_result(path, discs(ODD, 1)))
    opened = open_report(result)
    assert_outlines_are_shown(opened, ["Lesion 1: malignant 80 % (AI, unverified)"])
    assert captions(opened) == ["Image: malignant 70 %; study: malignant 70 % (AI, unverified)"]
    (measured,) = [one for one in opened.ohif.measurements() if one.tool == "PlanarFreehandROI"]
    area = opened.lesions[0].measurements.area_px
    assert float(measured.texts[0].removesuffix(" px²")) == pytest.approx(area, rel=0.01)
    opened.ohif.screenshot(screenshots / "report-still.png")


def test_three_overlapping_lesions_on_a_calibrated_color_still(
    study: StudyContext, open_report: OpenReport, tmp_path: Path
) -> None:
    path = making.write_image(
        tmp_path / "still.dcm", making.color(*EVEN), spacing_mm=0.08, study=study
    )
    lesions = discs(EVEN, 3, spacing_mm=0.08)
    image = making.image_result(path, lesions, spacing_mm=(0.08, 0.08))
    opened = open_report(making.study_result(image))
    size = "4.9 x 4.9 mm, 18.1 mm²"
    labels = [f"Lesion {n}: malignant 80 % (AI, unverified), {size}" for n in (1, 2, 3)]
    assert_outlines_are_shown(opened, labels)
    for measured, one in zip(opened.ohif.measurements(), lesions, strict=False):
        # OHIF's own area of any outline on a calibrated US image: pixels, with the unit cm²
        shown, unit = measured.texts[0].split(" ", 1)
        assert unit == "cm² US Region"
        assert float(shown) == pytest.approx(one.measurements.area_px, rel=0.01)


def test_each_frame_of_a_cine_shows_its_own_outlines(
    study: StudyContext, open_report: OpenReport, tmp_path: Path, screenshots: Path
) -> None:
    frames = [making.color(*ODD, seed=seed) for seed in range(4)]
    path = making.write_image(
        tmp_path / "cine.dcm", frames, study=study, transfer_syntax_uid=JPEGBaseline8Bit
    )
    moving = [
        lesion(making.disc(ODD, 100 + 15 * frame, 150, 40), frame=frame) for frame in (2, 3, 4)
    ]
    other = [
        lesion(making.disc(ODD, 220, 170, 10 * frame), number=2, frame=frame) for frame in (3, 4)
    ]
    image = making.image_result(path, [*moving, *other], frame_number=3, averaged_frames=(2, 3, 4))
    opened = open_report(making.study_result(image))
    assert (
        opened.ohif.page.evaluate(
            "cornerstone.getRenderingEngines()[0].getViewports()[0].getCurrentImageIdIndex()"
        )
        == 2
    )  # the representative frame
    labels = [f"Lesion {n}: malignant 80 % (AI, unverified)" for n in (1, 1, 1, 2, 2)]
    assert_outlines_are_shown(opened, labels)
    assert captions(opened) == ["Cine: malignant 70 %; study: malignant 70 % (AI, unverified)"]
    opened.ohif.screenshot(screenshots / "report-cine.png")


def test_a_palette_still(open_report: OpenReport, shared_data: Path) -> None:
    path = shared_data / "dicom" / "OBXXXX1A_rle.dcm"
    header = read_header(path)
    shape = header.rows, header.columns
    opened = open_report(making.study_result(making.image_result(path, discs(shape, 1))))
    assert_outlines_are_shown(opened, ["Lesion 1: malignant 80 % (AI, unverified)"])


def test_an_undecided_image_beside_a_normal_and_a_refused_one(
    study: StudyContext, open_report: OpenReport, tmp_path: Path
) -> None:
    paths = [
        making.write_image(
            tmp_path / f"{number}.dcm",
            making.gray(*EVEN, seed=number),
            study=study,
            instance_number=number,
        )
        for number in (1, 2, 3)
    ]
    (outlined,) = discs(EVEN, 1, undecided=True)
    unsure = making.image_result(paths[0], [outlined], probabilities=UNSURE, undecided=True)
    refusal = making.image_refusal(paths[2], RefusalReason("too-dark", "The image is too dark."))
    result = making.study_result(
        unsure, making.image_result(paths[1]), refusal, label="malignant", undecided=True
    )
    opened = open_report(result)
    opened.ohif.hydrate()
    assert [one.label for one in opened.ohif.measurements()] == [
        "Lesion 1: undecided (AI, unverified)",
        "Image: undecided; study: undecided (AI, unverified)",
        "Image: normal 90 %; study: undecided (AI, unverified)",
        "Not analyzed: The image is too dark.",
    ]
    assert not opened.ohif.errors


def normal(path: Path) -> ImageResult:
    return making.image_result(path)


@pytest.mark.parametrize("kind", ["normal", "refused"])
def test_a_study_without_a_lesion_opens(
    study: StudyContext, open_report: OpenReport, tmp_path: Path, kind: str
) -> None:
    path = making.write_image(tmp_path / "still.dcm", making.gray(*EVEN), study=study)
    reason = RefusalReason("color-doppler", "The image shows color Doppler.")
    image = normal(path) if kind == "normal" else making.image_refusal(path, reason)
    opened = open_report(making.study_result(image))
    opened.ohif.hydrate()
    assert [one.label for one in opened.ohif.measurements()] == [
        "Image: normal 90 %; study: normal 90 % (AI, unverified)"
        if kind == "normal"
        else "Not analyzed: The image shows color Doppler."
    ]
    assert not opened.ohif.errors


def test_an_accepted_analysis_is_shown_with_the_readers_class(
    study: StudyContext, open_report: OpenReport, tmp_path: Path
) -> None:
    path = making.write_image(tmp_path / "still.dcm", making.gray(*EVEN), study=study)
    opened = open_report(
        making.study_result(making.image_result(path, discs(EVEN, 1))), making.REVIEW
    )
    assert_outlines_are_shown(opened, ["Lesion 1: malignant 80 % (AI, accepted by the reader)"])
    (caption,) = captions(opened)
    assert caption == (
        "Image: malignant 70 % (AI, accepted); "
        "Study: malignant, BI-RADS 4C, signed by Wilhelm Röntgen"
    )


def test_the_readers_outlines_are_shown_in_place_of_those_that_they_changed(
    study: StudyContext, open_report: OpenReport, tmp_path: Path
) -> None:
    path = making.write_image(tmp_path / "still.dcm", making.gray(*EVEN), study=study)
    image = making.image_result(path, discs(EVEN, 3))
    kept, corrected, _removed = image.lesions
    smaller = lesion(
        making.disc(EVEN, 90, 130, 20),
        number=2,
        origin="corrected",
        tracking_uid=corrected.tracking_uid,
    )
    drawn = lesion(making.disc(EVEN, 250, 60, 25), number=4, origin="drawn")
    review = replace(
        making.REVIEW,
        decision="modify",
        final_label="benign",
        birads="2",
        outlines={image.sop_instance_uid: (kept, smaller, drawn)},
    )
    opened = open_report(making.study_result(image), review)
    labels = [
        "Lesion 1: outlined by AI",
        "Lesion 2: outline corrected by the reader",
        "Lesion 4: outlined by the reader",
    ]
    assert_outlines_are_shown(opened, labels)
    assert captions(opened) == ["Study: benign, BI-RADS 2, signed by Wilhelm Röntgen"]


def test_a_rejected_analysis_shows_the_review_and_no_outline(
    study: StudyContext, open_report: OpenReport, tmp_path: Path
) -> None:
    path = making.write_image(tmp_path / "still.dcm", making.gray(*EVEN), study=study)
    review = replace(making.REVIEW, decision="reject", final_label="normal", birads="1")
    opened = open_report(making.study_result(making.image_result(path, discs(EVEN, 1))), review)
    opened.ohif.hydrate()
    assert [one.label for one in opened.ohif.measurements()] == [
        "Study: normal, BI-RADS 1, AI result rejected, signed by Wilhelm Röntgen"
    ]
    assert opened.ohif.drawn_contours() == []
    assert not opened.ohif.errors
