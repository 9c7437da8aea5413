from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom.files import read_without_pixels
from dicom.images.frames import Frame, decode_frames
from dicom.images.header import read_header
from dicom.images.header_gate import find_header_refusal
from dicom.images.pixel_gate import find_pixel_refusal
from dicom.images.regions import BModeRegion, find_bmode_region, find_content_region
from tests.dicom import making


def whole(frame: Frame) -> BModeRegion:
    return BModeRegion(0, 0, frame.shape[1], frame.shape[0])


def code_of(frame: Frame, region: BModeRegion | None = None) -> str | None:
    refusal = find_pixel_refusal(frame, region or find_content_region(frame))
    return refusal.code if refusal else None


def black(rows: int, columns: int) -> Frame:
    return np.zeros((rows, columns), np.uint8)


def test_doppler_without_a_doppler_header_is_refused(shared_data: Path) -> None:
    path = shared_data / "dicom" / "US1_UNCI.dcm"
    (frame,) = decode_frames(path)
    assert find_header_refusal(read_header(path)) is None
    refusal = find_pixel_refusal(frame, find_bmode_region(read_without_pixels(path), frame))
    assert refusal is not None
    assert refusal.code == "color-doppler"


def test_a_gray_image_is_accepted() -> None:
    gray = making.gray(200, 200)
    assert find_pixel_refusal(gray, whole(gray)) is None
    assert find_pixel_refusal(np.dstack([gray] * 3), whole(gray)) is None


def test_a_tinted_image_is_accepted() -> None:
    gray = making.gray(200, 200)
    sepia = np.dstack([gray, gray * 0.7, gray * 0.4]).astype(np.uint8)
    assert find_pixel_refusal(sepia, whole(sepia)) is None


def test_colored_calipers_are_accepted() -> None:
    frame = np.dstack([making.gray(200, 200)] * 3)
    frame[50:52, 40:140] = frame[20:120, 90:92] = (255, 220, 0)
    assert find_pixel_refusal(frame, whole(frame)) is None


def test_a_small_doppler_box_is_refused() -> None:
    frame = np.dstack([making.gray(200, 200)] * 3)
    frame[50:80, 40:70] = (220, 30, 0)
    frame[80:90, 40:70] = (0, 40, 220)
    refusal = find_pixel_refusal(frame, whole(frame))
    assert refusal is not None
    assert refusal.code == "color-doppler"


def test_color_outside_the_region_does_not_count() -> None:
    frame = np.dstack([making.gray(200, 200)] * 3)
    frame[:40] = (30, 60, 220)
    frame[:20] = (220, 60, 30)
    assert find_pixel_refusal(frame, BModeRegion(0, 40, 200, 200)) is None


# --------------------------------------------------------------------------- no tissue


def test_a_black_image_is_too_dark_despite_text_outside_the_region() -> None:
    frame = black(200, 300)
    frame[:20, 100:] = 220
    assert code_of(frame, BModeRegion(0, 20, 300, 200)) == "too-dark"


def test_a_transducer_in_air_is_too_dark() -> None:
    frame = making.gray(200, 200) // 10
    frame[:6] = 200  # its own echo
    assert code_of(frame, whole(frame)) == "too-dark"


def test_a_dark_image_with_some_tissue_is_accepted() -> None:
    frame = making.gray(200, 200) // 10
    frame[:30] = making.gray(30, 200)
    assert code_of(frame, whole(frame)) is None


@pytest.mark.parametrize("level", [60, 128, 255])
def test_a_uniform_gray_is_flat(level: int) -> None:
    frame = np.full((200, 200), level, np.uint8)
    frame[10:12, 10:60] = 0  # text
    assert code_of(frame, whole(frame)) == "flat"
    assert code_of(np.dstack([frame] * 3), whole(frame)) == "flat"


# --------------------------------------------------------------------------- split screens


def side_by_side(gap_px: int, left_px: int = 200, right_px: int = 200) -> Frame:
    left, right = making.gray(240, left_px, seed=1), making.gray(240, right_px, seed=2)
    return np.pad(np.hstack([left, black(240, gap_px), right]), ((30, 20), (15, 25)))


@pytest.mark.parametrize("gap_px", [3, 8, 40])
def test_two_views_with_a_black_gutter_are_a_split_screen(gap_px: int) -> None:
    frame = side_by_side(gap_px)
    assert code_of(frame) == "split-screen"
    assert code_of(np.dstack([frame] * 3)) == "split-screen"


def test_three_views_are_a_split_screen() -> None:
    three = np.hstack([side_by_side(8), making.gray(290, 200, seed=3)])
    assert code_of(three) == "split-screen"


def test_views_that_touch_are_not_recognized_by_their_pixels() -> None:
    assert code_of(side_by_side(0)) is None


def test_a_region_from_the_header_is_no_split_screen() -> None:
    frame = side_by_side(8)
    assert code_of(frame, BModeRegion(15, 30, 215, 270, source="header")) is None


def test_a_narrow_inset_is_no_second_view() -> None:
    assert code_of(side_by_side(8, right_px=100)) is None


def test_text_beside_the_image_is_no_second_view() -> None:
    frame = side_by_side(8)
    panel = black(290, frame.shape[1] - 223)
    panel[40:260:20, 10:150:3] = 255
    frame[:, 223:] = panel
    assert code_of(frame) is None


def test_a_shadow_through_the_whole_image_is_no_gutter() -> None:
    picture = making.gray(240, 400).astype(np.float64)
    fade = np.clip((np.abs(np.arange(400) - 200) - 20) / 12, 0, 1)
    assert code_of((picture * fade).astype(np.uint8)) is None


def test_two_real_images_are_a_split_screen_and_single_ones_accepted(shared_data: Path) -> None:
    pictures = [_gray(path) for path in sorted((shared_data / "busi").glob("*/*(1?).png"))]
    assert len(pictures) > 10
    for left, right in pairwise(pictures):
        assert code_of(left) is None
        assert code_of(np.hstack([left, black(300, 10), right])) == "split-screen"


def _gray(path: Path) -> Frame:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((400, 300)))
