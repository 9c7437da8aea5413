import numpy as np
import pytest

from models.measure import find_lesions
from models.outline import OutlineInvalid, enclosed_lesion, rasterize
from models.phantom import make_phantom


def test_a_pixel_is_inside_when_its_center_is() -> None:
    mask = rasterize([(1.4, 1.4), (4.6, 1.4), (4.6, 3.4), (1.4, 3.4)], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:3, 1:5] = True
    assert (mask == expected).all()


def test_the_direction_of_the_line_does_not_matter() -> None:
    points = [(3.0, 2.0), (17.0, 5.0), (9.0, 14.0)]
    assert (rasterize(points, (20, 20)) == rasterize(points[::-1], (20, 20))).all()


def test_an_outline_is_clipped_at_the_border_of_the_image() -> None:
    mask = rasterize([(-5, -5), (15, -5), (15, 4), (-5, 4)], (8, 10))
    assert mask[:4].all()
    assert not mask[4:].any()


@pytest.mark.parametrize("kind", ["spiculated", "fibroadenoma"])
def test_a_contour_of_the_networks_encloses_their_mask(kind: str) -> None:
    shape = (240, 320)
    phantom = make_phantom(kind, seed=1, height=shape[0], width=shape[1], spacing_mm=0.16)
    lesion = find_lesions(phantom.mask, (0.16, 0.16))[0]
    again = enclosed_lesion(lesion.contour, shape, (0.16, 0.16))
    both = (again.mask & lesion.mask).sum()
    after, before = again.measurements, lesion.measurements
    assert 2 * both / (after.area_px + before.area_px) > 0.98
    assert after.size_mm is not None
    assert before.size_mm is not None
    assert after.size_mm.long_axis_mm == pytest.approx(before.size_mm.long_axis_mm, abs=0.4)


def test_a_line_that_overshoots_its_start_leaves_no_hole() -> None:
    turn = np.linspace(0, 2 * np.pi * 1.2, 80)
    points = [(50 + 30 * np.cos(t), 40 + 30 * np.sin(t)) for t in turn]
    assert enclosed_lesion(points, (80, 100)).measurements.area_px == pytest.approx(
        np.pi * 30**2, rel=0.02
    )


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([(3.0, 3.0), (9.0, 3.0), (15.0, 3.0)], "encloses no area"),
        ([(2.0, 2.0), (40.0, 30.0), (40.0, 2.0), (2.0, 30.0)], "crosses itself"),
    ],
)
def test_a_line_that_is_no_outline_is_refused(points: list[tuple[float, float]], says: str) -> None:
    with pytest.raises(OutlineInvalid, match=says):
        enclosed_lesion(points, (40, 50))
