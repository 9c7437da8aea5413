from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom.files import read_without_pixels
from dicom.images.frames import Frame, decode_frames
from dicom.images.regions import BModeRegion, find_bmode_region, find_content_region
from tests.dicom import making

FRAME = making.gray(200, 300)


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


def find_region(*regions: Dataset, **attributes: object) -> BModeRegion:
    dataset = Dataset()
    if regions:
        dataset.SequenceOfUltrasoundRegions = list(regions)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return find_bmode_region(dataset, FRAME)


def box(region: BModeRegion) -> tuple[int, int, int, int]:
    return region.x0, region.y0, region.x1, region.y1


def test_the_largest_tissue_region_and_its_spacing_are_used() -> None:
    result = find_region(region((0, 0, 39, 39)), region((20, 10, 279, 189)))
    assert box(result) == (20, 10, 280, 190)
    assert result.source == "header"
    assert result.spacing_mm == pytest.approx((0.2, 0.1))
    assert result.calibrated


@pytest.mark.parametrize(
    "attributes", [{"RegionSpatialFormat": 2}, {"RegionDataType": 3}, {"RegionDataType": 2}]
)
def test_a_region_of_another_kind_is_ignored(attributes: dict[str, int]) -> None:
    result = find_region(region((0, 0, 299, 199), **attributes), region((20, 10, 100, 100)))
    assert box(result) == (20, 10, 101, 101)


def test_an_exclusive_end_is_clipped_to_the_image() -> None:
    assert box(find_region(region((0, 0, 300, 200)))) == (0, 0, 300, 200)


def test_a_region_for_another_image_size_is_ignored() -> None:
    result = find_region(region((84, 31, 595, 414)))
    assert result.source != "header"
    assert not result.calibrated


@pytest.mark.parametrize(
    "corners", [(50, 50, 20, 20), (0, 0, 5, 5), (-5, 0, 100, 100), (0, 0, 10**9, 10**9)]
)
def test_a_region_without_a_valid_box_is_ignored(corners: tuple[int, int, int, int]) -> None:
    item = region((0, 0, 1, 1))
    for keyword, value in zip(("MinX0", "MinY0", "MaxX1", "MaxY1"), corners, strict=True):
        item.add_new(f"RegionLocation{keyword}", "SL", value)
    assert find_region(item).source != "header"


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
def test_a_region_without_a_plausible_spacing_is_uncalibrated(
    attributes: dict[str, object],
) -> None:
    result = find_region(region((20, 10, 279, 189), **attributes))
    assert result.source == "header"
    assert result.spacing_mm is None


def test_pixel_spacing_calibrates_if_no_region_does() -> None:
    assert find_region(PixelSpacing=["0.3", "0.25"]).spacing_mm == (0.3, 0.25)
    uncalibrated = region((20, 10, 279, 189), PhysicalUnitsXDirection=0)
    assert find_region(uncalibrated, PixelSpacing=["0.3", "0.25"]).spacing_mm == (0.3, 0.25)


def test_the_spacing_of_a_region_has_priority_over_pixel_spacing() -> None:
    result = find_region(region((20, 10, 279, 189)), PixelSpacing=["0.3", "0.25"])
    assert result.spacing_mm == pytest.approx((0.2, 0.1))


@pytest.mark.parametrize("spacing", [["0", "0"], ["50", "50"], "0.2"])
def test_an_invalid_pixel_spacing_is_ignored(spacing: object) -> None:
    assert find_region(PixelSpacing=spacing).spacing_mm is None


# --------------------------------------------------------------------------- regions in the pixels


def screen(picture: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return a screen shot: speckle in a box, with lines of text beside and below it."""
    x0, y0, x1, y1 = picture
    frame = np.zeros((480, 640), np.uint8)
    frame[y0:y1, x0:x1] = np.random.default_rng(0).integers(20, 200, (y1 - y0, x1 - x0))
    for x in range(10, 120, 8):
        frame[20:30, x : x + 3] = 255
        frame[440:450, x : x + 3] = 255
    return frame


def test_text_and_borders_are_excluded() -> None:
    picture = (150, 60, 560, 400)
    result = find_content_region(screen(picture))
    assert result.source == "content"
    assert np.abs(np.subtract(box(result), picture)).max() <= 12


def write(frame: Frame, box: tuple[int, int, int, int], line_px: int = 14) -> None:
    """Fill `box` with strokes of two pixels, so dense that closing joins them."""
    x0, y0, x1, y1 = box
    for y in range(y0, y1, line_px):
        frame[y : y + 10, x0:x1:6] = frame[y : y + 10, x0 + 1 : x1 : 6] = 230
        frame[y : y + 2, x0:x1] = 230


def tissue(rows: int, columns: int) -> Frame:
    """Return speckle with grains of several pixels, as after scan conversion."""
    noise = np.random.default_rng(0).normal(size=(rows, columns))
    grains = ndimage.gaussian_filter(noise, 1.5)
    gray: Frame = np.clip(80 + 25 * grains / grains.std(), 20, 200).astype(np.uint8)
    return gray


def with_cyst(width: float, low: float) -> Frame:
    """Return tissue with an anechoic ellipse, `width` times as wide, from 0.25 to `low` of its depth."""
    frame = tissue(400, 500)
    y, x = np.mgrid[:400, :500]
    center, radius = 200 * (low + 0.25), 200 * (low - 0.25)
    inside = ((x - 250) / (250 * width)) ** 2 + ((y - center) / radius) ** 2 < 1
    frame[inside] = np.random.default_rng(0).integers(0, 4, int(inside.sum()))
    return frame


def jpeg(frame: Frame, quality: int) -> Frame:
    stream = BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("width", [1.2, 3])
@pytest.mark.parametrize("low", [0.6, 0.85])
@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1)])
def test_a_cyst_across_the_full_width_does_not_end_the_region(
    width: float, low: float, rows: slice
) -> None:
    frame = with_cyst(width, low)[rows]
    assert box(find_content_region(frame)) == (0, 0, 500, 400)
    assert box(find_content_region(np.dstack([frame] * 3))) == (0, 0, 500, 400)


def test_dim_tissue_below_a_gain_step_is_included() -> None:
    frame = tissue(400, 500)
    frame[250:290] = 2
    frame[290:] //= 5
    assert box(find_content_region(frame)) == (0, 0, 500, 400)


@pytest.mark.parametrize("quality", [None, 90, 75, 50])
def test_an_image_divided_by_a_cyst_is_cropped_from_its_screen(quality: int | None) -> None:
    picture = (150, 120, 650, 520)
    frame = np.zeros((740, 800), np.uint8)
    frame[120:520, 150:650] = with_cyst(1.2, 0.6)
    frame[:80] = 60  # a banner, higher than an eighth of the tissue
    write(frame, (10, 10, 400, 70), 20)
    write(frame, (160, 550, 600, 700))
    write(frame, (690, 120, 790, 500))
    if quality:
        frame = jpeg(frame, quality)
    assert np.abs(np.subtract(box(find_content_region(frame)), picture)).max() <= 16


def test_a_small_image_beside_the_image_is_excluded() -> None:
    frame = np.zeros((440, 800), np.uint8)
    frame[20:420, 20:520] = tissue(400, 500)
    frame[20:220, 560:780] = tissue(200, 220)
    assert np.abs(np.subtract(box(find_content_region(frame)), (20, 20, 520, 420))).max() <= 12


def test_a_black_frame_gives_the_whole_frame() -> None:
    result = find_content_region(np.zeros((100, 120), np.uint8))
    assert (box(result), result.source) == ((0, 0, 120, 100), "whole")


def test_a_speck_is_not_the_image() -> None:
    frame = np.zeros((400, 400), np.uint8)
    frame[100:150, 100:150] = 200
    assert find_content_region(frame).source == "whole"


def test_no_lesion_of_the_real_images_is_cropped(shared_data: Path) -> None:
    cut = [
        path.name
        for path in sorted((shared_data / "busi").glob("*/*_mask*.png"))[::3]
        if _share_outside(path) > 0.02
    ]
    assert not cut


def _share_outside(mask_path: Path) -> float:
    """Return the share of the lesion's area outside the region, 0 for an empty mask."""
    mask = np.array(Image.open(mask_path)) > 0
    if not mask.any():
        return 0.0
    image = np.array(Image.open(mask_path.with_name(mask_path.name.split("_mask")[0] + ".png")))
    x0, y0, x1, y1 = box(find_content_region(image))
    return 1 - float(mask[y0:y1, x0:x1].sum() / mask.sum())


def test_a_real_cyst_across_the_full_width_does_not_end_the_region(shared_data: Path) -> None:
    image = np.array(Image.open(shared_data / "busi" / "benign" / "benign (188).png"))
    assert box(find_content_region(image)) == (0, 0, 655, 600)


@pytest.mark.parametrize(
    ("name", "picture"),
    [("gdcm-US-ALOKA-16", (0, 0, 640, 417)), ("examples_ybr_color", (95, 26, 222, 202))],
)
def test_a_real_banner_or_tool_bar_below_the_image_is_excluded(
    name: str, picture: tuple[int, int, int, int], shared_data: Path
) -> None:
    frame = next(decode_frames(shared_data / "dicom" / f"{name}.dcm"))
    assert box(find_content_region(frame)) == picture


def test_a_real_header_gives_a_real_region(shared_data: Path) -> None:
    path = shared_data / "dicom" / "JPGLosslessP14SV1_1s_1f_8b.dcm"
    (frame,) = decode_frames(path)
    result = find_bmode_region(read_without_pixels(path), frame)
    assert result.source == "header"
    assert result.spacing_mm == pytest.approx((0.25477, 0.25477), abs=1e-5)
