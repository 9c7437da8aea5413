import numpy as np
import pytest
from scipy.spatial.distance import directed_hausdorff

from models.evaluation.image_results import hd95


def square(row: int, column: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((64, 64), np.bool_)
    mask[row : row + side, column : column + side] = True
    return mask


def test_the_same_outline_is_nowhere_away() -> None:
    assert hd95(square(5, 5), square(5, 5)) == 0


def test_a_shifted_outline_is_as_far_as_it_was_shifted() -> None:
    assert hd95(square(5, 5), square(5, 12)) == 7


def test_it_never_exceeds_the_farthest_distance_and_is_the_same_both_ways() -> None:
    first, second = square(5, 5, 20), square(9, 14, 31)
    ends = [np.argwhere(mask) for mask in (first, second)]
    farthest = max(directed_hausdorff(*ends)[0], directed_hausdorff(*ends[::-1])[0])

    assert 0 < hd95(first, second) <= farthest
    assert hd95(first, second) == hd95(second, first)


@pytest.mark.parametrize("empty", [0, 1])
def test_without_an_outline_there_is_no_distance(empty: int) -> None:
    masks = [square(5, 5), square(5, 5)]
    masks[empty][:] = False

    assert np.isnan(hd95(*masks))
