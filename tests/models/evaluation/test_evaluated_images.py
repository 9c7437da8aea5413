import numpy as np
import pytest
from scipy.spatial.distance import directed_hausdorff

from models.evaluation.evaluated_images import hd95


def square(row: int, column: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((64, 64), np.bool_)
    mask[row : row + side, column : column + side] = True
    return mask


def test_hd95_of_equal_outlines_is_zero() -> None:
    assert hd95(square(5, 5), square(5, 5)) == 0


def test_hd95_of_a_shifted_outline_is_the_shift() -> None:
    assert hd95(square(5, 5), square(5, 12)) == 7


def test_hd95_is_symmetric_and_at_most_the_hausdorff_distance() -> None:
    first, second = square(5, 5, 20), square(9, 14, 31)
    ends = [np.argwhere(mask) for mask in (first, second)]
    farthest = max(directed_hausdorff(*ends)[0], directed_hausdorff(*ends[::-1])[0])

    assert 0 < hd95(first, second) <= farthest
    assert hd95(first, second) == hd95(second, first)


@pytest.mark.parametrize("empty", [0, 1])
def test_hd95_of_an_empty_mask_is_undefined(empty: int) -> None:
    masks = [square(5, 5), square(5, 5)]
    masks[empty][:] = False

    assert np.isnan(hd95(*masks))
