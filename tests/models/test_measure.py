import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dicom.terms.lesions import SizeMm
from models.measure import MAX_CONTOUR_POINTS, LesionOutline, find_lesions

Mask = NDArray[np.bool_]


def ellipse(a: float, b: float, tilt_deg: float, *, center: tuple[float, float]) -> Mask:
    y, x = np.mgrid[:300, :400] + 0.5
    tilt = np.deg2rad(tilt_deg)
    x, y = x - center[0], y - center[1]
    u, v = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    inside: Mask = (u / a) ** 2 + (v / b) ** 2 <= 1
    return inside


def only(mask: Mask, min_area_px: int = 1) -> LesionOutline:
    (lesion,) = find_lesions(mask, min_area_px=min_area_px)
    return lesion


def size_mm(mask: Mask, spacing_mm: tuple[float, float]) -> SizeMm:
    size = find_lesions(mask, spacing_mm)[0].measurements.size_mm
    assert size is not None
    return size


def area(contour: tuple[tuple[float, float], ...]) -> float:
    x, y = np.array(contour).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("tilt_deg", [0, 25, 45, 90, 160])
def test_it_measures_an_ellipse_at_any_tilt(tilt_deg: float) -> None:
    lesion = only(ellipse(80, 40, tilt_deg, center=(200, 150)))

    assert lesion.measurements.area_px == pytest.approx(np.pi * 80 * 40, rel=0.005)
    assert lesion.measurements.long_axis_px == pytest.approx(160, abs=1.5)
    assert lesion.measurements.short_axis_px == pytest.approx(80, abs=1.5)


def test_equal_spacing_scales_pixels_to_millimeters() -> None:
    size = size_mm(ellipse(80, 40, 25, center=(200, 150)), (0.1, 0.1))

    assert size.area_mm2 == pytest.approx(np.pi * 8 * 4, rel=0.005)
    assert size.long_axis_mm == pytest.approx(16, abs=0.15)
    assert size.short_axis_mm == pytest.approx(8, abs=0.15)


def test_unequal_spacing_can_swap_the_axes() -> None:
    wide_in_pixels = ellipse(80, 40, 0, center=(200, 150))

    size = size_mm(wide_in_pixels, (0.3, 0.1))

    assert size.area_mm2 == pytest.approx(np.pi * 8 * 12, rel=0.005)
    assert size.long_axis_mm == pytest.approx(24, abs=0.3)
    assert size.short_axis_mm == pytest.approx(16, abs=0.3)


@pytest.mark.parametrize("spacing", [(0.0, 0.1), (0.1, -1.0), (float("nan"), 0.1)])
def test_it_refuses_a_spacing_that_is_not_positive(spacing: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        find_lesions(ellipse(8, 4, 0, center=(200, 150)), spacing)


def test_the_box_ends_one_past_the_last_pixel() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[3:8, 10:22] = True

    assert only(mask).bbox == (10, 3, 22, 8)


def test_the_contour_follows_a_dent_that_a_hull_would_bridge() -> None:
    moon = ellipse(80, 80, 0, center=(200, 150)) & ~ellipse(60, 60, 0, center=(250, 150))

    lesion = only(moon)

    assert area(lesion.contour) == pytest.approx(lesion.measurements.area_px, rel=0.01)


def test_the_contour_of_a_ragged_lesion_stays_short_and_close() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((400, 400)), 6)
    disc = np.hypot(*(np.mgrid[:400, :400] - 200.0)) < 150 + 900 * noise
    (lesion, *_) = find_lesions(disc)

    assert len(lesion.contour) <= MAX_CONTOUR_POINTS
    assert lesion.contour[0] != lesion.contour[-1]
    assert area(lesion.contour) == pytest.approx(lesion.measurements.area_px, rel=0.03)


def test_a_lesion_at_the_border_is_outlined_along_the_border() -> None:
    whole = np.ones((10, 12), np.bool_)

    x, y = np.array(only(whole).contour).T

    assert (x.min(), x.max(), y.min(), y.max()) == (0, 12, 0, 10)


def test_pixels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((6, 6), np.bool_)
    mask[2, 2] = mask[3, 3] = True

    lesion = only(mask)

    assert lesion.measurements.area_px == 2
    assert lesion.bbox == (2, 2, 4, 4)
    assert area(lesion.contour) > 1


def test_holes_are_filled() -> None:
    ring = ellipse(50, 50, 0, center=(200, 150)) & ~ellipse(20, 20, 0, center=(200, 150))

    assert only(ring).measurements.area_px == pytest.approx(np.pi * 50**2, rel=0.01)


def test_lesions_come_largest_first_without_specks() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[5:15, 5:15] = True
    mask[40:70, 40:70] = True
    mask[90, 90] = True

    assert [lesion.measurements.area_px for lesion in find_lesions(mask)] == [900, 100]
    assert [lesion.measurements.area_px for lesion in find_lesions(mask, max_lesions=1)] == [900]


def test_each_lesion_has_a_mask_of_its_own() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[5:25, 5:25] = mask[40:70, 40:70] = True

    first, second = find_lesions(mask)

    assert not (first.mask & second.mask).any()
    assert ((first.mask | second.mask) == mask).all()


def test_an_empty_mask_has_no_lesions() -> None:
    assert find_lesions(np.zeros((10, 10), np.bool_), min_area_px=0) == []


def test_every_random_patch_can_be_traced() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = ndimage.gaussian_filter(rng.standard_normal((40, 40)), 0.9) > 0.15
        for lesion in find_lesions(mask, min_area_px=1, max_lesions=50):
            x, y = np.array(lesion.contour).T
            x0, y0, x1, y1 = lesion.bbox
            assert (x.min(), y.min(), x.max(), y.max()) == (x0, y0, x1, y1)
