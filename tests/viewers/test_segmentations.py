"""The real OHIF draws the segmentations of every kind of image on the right pixels of every frame."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from pydicom.uid import JPEGBaseline8Bit

from dicom.files import write_dataset
from dicom.results.model import LesionResult, StudyResult
from dicom.results.seg.build import (
    COLORS,
    EDITED_SERIES_DESCRIPTION,
    SERIES_DESCRIPTION,
)
from dicom.uids import derived_uid
from tests.dicom import making
from tests.peers import Orthanc
from tests.viewers.ohif import Mask, Ohif, bounding_box, intersection_over_union, open_ohif

pytestmark = pytest.mark.peer
UNEVEN = (241, 323)
"""Rows x columns is no multiple of 8, and odd: packed bits would need padding."""
EVEN = (240, 320)
UNVERIFIED = "malignant 80 %, AI unverified"


@dataclass(frozen=True, eq=False)
class Study:
    """A study of one image, and where its lesions are: masks by frame, for each segment."""

    uid: str
    source: Path
    result: StudyResult
    frame_count: int

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.result.images[0].lesions[0].mask.shape
        return rows, columns


@pytest.fixture(scope="module")
def window(chromium: Browser, ohif_address: str) -> Iterator[Ohif]:
    """One window for all: the viewer opens faster again."""
    with open_ohif(chromium, ohif_address, width=1280, height=720) as opened:
        yield opened


def disc(shape: tuple[int, int], number: int) -> Mask:
    """The discs 1, 2 and 3 overlap."""
    return making.disc(shape, 70 + 45 * number, shape[0] // 2 + 9 * number, 40)


def make_study(
    folder: Path,
    name: str,
    pixels: np.ndarray | Sequence[np.ndarray],
    on_frames: Mapping[int, Sequence[int]],
    *,
    spacing_mm: float | None = None,
    **how: object,
) -> Study:
    """`on_frames` are the frames of lesions 1, 2 and so on."""
    facts = replace(making.STUDY, study_instance_uid=derived_uid("drawn", name), patient_id=name)
    path = making.write_image(
        folder / "image.dcm",
        pixels,
        study=facts,
        spacing_mm=spacing_mm,
        **how,  # type: ignore[arg-type]  # transfer syntax or changes
    )
    frames = [pixels] if isinstance(pixels, np.ndarray) else pixels
    shape = frames[0].shape[:2]
    lesions = [
        making.lesion(disc(shape, number), number=number, frame=frame, spacing_mm=spacing_mm)
        for number, numbers in on_frames.items()
        for frame in numbers
    ]
    spacing = (spacing_mm, spacing_mm) if spacing_mm else None
    image = making.image_result(path, lesions, spacing_mm=spacing)
    result = making.study_result(image, analysis_id=name)
    return Study(facts.study_instance_uid, path, result, len(frames))


def gray_still(folder: Path) -> Study:
    return make_study(folder, "gray", making.gray(*UNEVEN), {1: [1], 2: [1], 3: [1]})


def color_still(folder: Path) -> Study:
    return make_study(folder, "color", making.color(*EVEN), {1: [1]}, spacing_mm=0.08)


def palette_still(folder: Path) -> Study:
    ramp = np.arange(256, dtype="<u2") * 257
    palette: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for color, values in (("Red", ramp), ("Green", ramp), ("Blue", ramp[::-1])):
        palette[f"{color}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{color}PaletteColorLookupTableData"] = values.tobytes()
    return make_study(folder, "palette", making.gray(*UNEVEN), {1: [1]}, changes=palette)


def still_in_space(folder: Path) -> Study:
    return make_study(folder, "space", making.gray(*EVEN), {1: [1]}, changes=making.PLANE)


def color_cine(folder: Path) -> Study:
    """Frame 1 has no lesion, frame 3 all of them."""
    frames = [making.color(*UNEVEN, seed=seed) for seed in range(3)]
    numbers = {1: [2, 3], 2: [3], 3: [3]}
    syntax = JPEGBaseline8Bit
    return make_study(folder, "cine", frames, numbers, spacing_mm=0.1, transfer_syntax_uid=syntax)


def gray_cine(folder: Path) -> Study:
    frames = [making.gray(*UNEVEN, seed=seed) for seed in range(3)]
    return make_study(folder, "edited", frames, {1: [1, 2, 3], 2: [2]})


def draw(window: Ohif, study: Study, series: str) -> list[Mask]:
    """Open a stored segmentation, and return what is drawn on each frame."""
    open_segmentation(window, study, series)
    drawn = []
    for frame in range(1, study.frame_count + 1):
        if study.frame_count > 1:
            window.show_frame(frame)
        drawn.append(window.drawn_mask(study.shape))
    return drawn


def open_segmentation(window: Ohif, study: Study, series: str) -> None:
    window.errors.clear()
    window.open_study(study.uid)
    window.load(series)
    window.hydrate()


def write(folder: Path, study: Study) -> Path:
    (built,) = making.build_objects("seg", study.result)
    return write_dataset(built, folder / "seg.dcm").path


def meant(lesions: Sequence[LesionResult], study: Study) -> list[Mask]:
    """Return the union of `lesions` on each frame."""
    masks = [np.zeros(study.shape, bool) for _ in range(study.frame_count)]
    for lesion in lesions:
        masks[lesion.frame_number - 1] |= lesion.mask
    return masks


def agrees(drawn: Mask, mask: Mask) -> bool:
    """Whether the pixels agree, and the boxes within one pixel of the image."""
    box, drawn_box = bounding_box(mask), bounding_box(drawn)
    if box is None or drawn_box is None:
        return box == drawn_box
    near = max(abs(a - b) for a, b in zip(box, drawn_box, strict=True)) <= 1
    return near and intersection_over_union(drawn, mask) >= 0.97


def assert_drawn(drawn: Sequence[Mask], masks: Sequence[Mask]) -> None:
    """Each frame agrees with its mask, and with none that is moved by two pixels or missing."""
    for frame, (found, mask) in enumerate(zip(drawn, masks, strict=True), start=1):
        shares = intersection_over_union(found, mask), bounding_box(found), bounding_box(mask)
        assert agrees(found, mask), (frame, *shares)
        if mask.any():
            assert not agrees(found, np.roll(mask, 2, axis=1))
            assert not agrees(found, np.roll(mask, 2, axis=0))
            assert not agrees(np.zeros_like(found), mask)


def assert_every_lesion_is_drawn(window: Ohif, pacs: Orthanc, study: Study, folder: Path) -> None:
    """On its pixels, with its name and color."""
    (image,) = study.result.images
    pacs.store(study.source, write(folder, study))
    assert_drawn(draw(window, study, SERIES_DESCRIPTION), meant(image.lesions, study))
    names = list(dict.fromkeys(lesion.tracking_id for lesion in image.lesions))
    listed = window.segments()
    assert [one.label for one in listed] == [f"{name}, {UNVERIFIED}" for name in names]
    for one, color in zip(listed, COLORS, strict=False):
        assert one.color == pytest.approx(color, abs=2)
    assert not window.errors


@pytest.mark.parametrize("make", [color_still, palette_still, still_in_space, color_cine])
def test_every_lesion_is_drawn_on_its_pixels_with_its_name_and_color(
    window: Ohif, pacs: Orthanc, tmp_path: Path, make: Callable[[Path], Study]
) -> None:
    assert_every_lesion_is_drawn(window, pacs, make(tmp_path), tmp_path)


def test_each_of_overlapping_lesions_is_drawn_whole(
    window: Ohif, pacs: Orthanc, tmp_path: Path
) -> None:
    study = gray_still(tmp_path)
    assert_every_lesion_is_drawn(window, pacs, study, tmp_path)
    drawn = window.drawn_mask(study.shape, segment=2)  # below and above another one
    assert_drawn([drawn], [disc(study.shape, 2)])


def test_what_the_reader_removed_changed_and_drew_is_drawn_so(
    window: Ohif, pacs: Orthanc, tmp_path: Path
) -> None:
    """Lesion 1 is removed on frame 1, changed on frame 2 and left on frame 3; lesion 2 is removed;
    lesion 3 is drawn.
    """
    study = gray_cine(tmp_path)
    (image,) = study.result.images
    left = image.lesions[2]
    smaller = making.lesion(making.disc(study.shape, 110, 130, 21), number=1, frame=2)
    lesions = (
        replace(smaller, origin="corrected"),
        left,
        replace(making.lesion(disc(study.shape, 3), number=3, frame=3), origin="drawn"),
    )
    review = replace(making.REVIEW, outlines={image.sop_instance_uid: lesions})
    signed = making.build_signed_results(["seg", "sr"], study.result, review)["seg"]
    path = write_dataset(signed[0], tmp_path / "signed.dcm").path
    pacs.store(study.source, write(tmp_path, study), path)
    assert_drawn(draw(window, study, EDITED_SERIES_DESCRIPTION), meant(lesions, study))
    labels = ["Lesion 1, edited by reader", "Lesion 3, drawn by reader"]
    assert [one.label for one in window.segments()] == labels
    assert not window.errors


def test_a_segmentation_moved_by_two_pixels_is_noticed(
    window: Ohif, pacs: Orthanc, tmp_path: Path
) -> None:
    """This test of the test sends an object that is wrong."""
    study = make_study(tmp_path, "moved", making.color(*EVEN), {1: [1]})
    (image,) = study.result.images
    (right,) = image.lesions
    moved = replace(image, lesions=(replace(right, mask=np.roll(right.mask, 2, axis=1)),))
    wrong = replace(study, result=replace(study.result, images=(moved,)))
    pacs.store(study.source, write(tmp_path, wrong))
    (drawn,) = draw(window, study, SERIES_DESCRIPTION)
    assert drawn.any()
    assert not agrees(drawn, right.mask)
