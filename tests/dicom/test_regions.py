from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from dicom.frames import decode_frames
from dicom.reading import open_header
from dicom.regions import BModeRegion, bmode_region, content_region
from tests.dicom import making

FRAME = making.grey(200, 300)


def region(box: tuple[int, int, int, int], **attributes: object) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, -0.02
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def found(*regions: Dataset, **attributes: object) -> BModeRegion:
    dataset = Dataset()
    if regions:
        dataset.SequenceOfUltrasoundRegions = list(regions)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return bmode_region(dataset, FRAME)


def box(region: BModeRegion) -> tuple[int, int, int, int]:
    return region.x0, region.y0, region.x1, region.y1


def test_the_largest_tissue_region_is_taken_with_its_spacing() -> None:
    best = found(region((0, 0, 39, 39)), region((20, 10, 279, 189)))
    assert box(best) == (20, 10, 280, 190)
    assert best.source == "header"
    assert best.spacing_mm == pytest.approx((0.2, 0.1))
    assert best.calibrated


@pytest.mark.parametrize(
    "attributes", [{"RegionSpatialFormat": 2}, {"RegionDataType": 3}, {"RegionDataType": 2}]
)
def test_a_region_of_another_kind_is_passed_over(attributes: dict[str, int]) -> None:
    best = found(region((0, 0, 299, 199), **attributes), region((20, 10, 100, 100)))
    assert box(best) == (20, 10, 101, 101)


def test_an_end_given_as_exclusive_is_cut_to_the_image() -> None:
    assert box(found(region((0, 0, 300, 200)))) == (0, 0, 300, 200)


def test_a_region_drawn_for_another_size_is_not_believed() -> None:
    best = found(region((84, 31, 595, 414)))
    assert best.source != "header"
    assert not best.calibrated


@pytest.mark.parametrize(
    "corners", [(50, 50, 20, 20), (0, 0, 5, 5), (-5, 0, 100, 100), (0, 0, 10**9, 10**9)]
)
def test_a_region_that_is_no_box_is_not_believed(corners: tuple[int, int, int, int]) -> None:
    item = region((0, 0, 1, 1))
    for keyword, value in zip(("MinX0", "MinY0", "MaxX1", "MaxY1"), corners, strict=True):
        item.add_new(f"RegionLocation{keyword}", "SL", value)
    assert found(item).source != "header"


@pytest.mark.parametrize(
    "attributes",
    [
        {"PhysicalUnitsXDirection": 0},
        {"PhysicalUnitsYDirection": 4},
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaY": float("nan")},
        {"PhysicalDeltaX": 5.0},
    ],
)
def test_a_region_without_a_credible_scale_is_uncalibrated(attributes: dict[str, object]) -> None:
    best = found(region((20, 10, 279, 189), **attributes))
    assert best.source == "header"
    assert best.spacing_mm is None


def test_pixel_spacing_calibrates_where_no_region_does() -> None:
    assert found(PixelSpacing=["0.3", "0.25"]).spacing_mm == (0.3, 0.25)
    uncalibrated = region((20, 10, 279, 189), PhysicalUnitsXDirection=0)
    assert found(uncalibrated, PixelSpacing=["0.3", "0.25"]).spacing_mm == (0.3, 0.25)


def test_a_regions_own_scale_goes_before_pixel_spacing() -> None:
    best = found(region((20, 10, 279, 189)), PixelSpacing=["0.3", "0.25"])
    assert best.spacing_mm == pytest.approx((0.2, 0.1))


@pytest.mark.parametrize("spacing", [["0", "0"], ["50", "50"], "0.2"])
def test_a_pixel_spacing_that_is_none_is_ignored(spacing: object) -> None:
    assert found(PixelSpacing=spacing).spacing_mm is None


# --------------------------------------------------------------------------- by content


def screen(picture: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A screen shot: speckle in a box, lines of text beside and below it."""
    x0, y0, x1, y1 = picture
    frame = np.zeros((480, 640), np.uint8)
    frame[y0:y1, x0:x1] = np.random.default_rng(0).integers(20, 200, (y1 - y0, x1 - x0))
    for x in range(10, 120, 8):
        frame[20:30, x : x + 3] = 255
        frame[440:450, x : x + 3] = 255
    return frame


def test_text_and_borders_fall_away() -> None:
    picture = (150, 60, 560, 400)
    best = content_region(screen(picture))
    assert best.source == "content"
    assert np.abs(np.subtract(box(best), picture)).max() <= 12


def test_a_black_frame_is_taken_whole() -> None:
    best = content_region(np.zeros((100, 120), np.uint8))
    assert (box(best), best.source) == ((0, 0, 120, 100), "whole")


def test_a_speck_is_not_taken_for_the_picture() -> None:
    frame = np.zeros((400, 400), np.uint8)
    frame[100:150, 100:150] = 200
    assert content_region(frame).source == "whole"


def test_no_lesion_of_the_real_images_is_cut_off(shared_data: Path) -> None:
    outside = []
    for path in sorted((shared_data / "busi" / "malignant").glob("*_mask.png"))[::4]:
        image = np.array(Image.open(path.with_name(path.name.replace("_mask", ""))))
        mask = np.array(Image.open(path)) > 0
        x0, y0, x1, y1 = box(content_region(image))
        if mask[y0:y1, x0:x1].sum() < 0.995 * mask.sum():
            outside.append(path.name)
    assert not outside


def test_a_real_header_gives_a_real_region(shared_data: Path) -> None:
    path = shared_data / "dicom" / "JPGLosslessP14SV1_1s_1f_8b.dcm"
    (frame,) = decode_frames(path)
    best = bmode_region(open_header(path), frame)
    assert best.source == "header"
    assert best.spacing_mm == pytest.approx((0.25477, 0.25477), abs=1e-5)
