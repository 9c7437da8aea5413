"""Changes of a picture, each seen to do what its name says and to leave the truth alone."""

import numpy as np
import pytest

from models.assessment.checks import CHANGES, callipers_painted, callipers_removed

PIXELS = np.clip(
    np.random.default_rng(0).normal(90, 12, (96, 128)), 0, 255
).astype(np.uint8)  # fmt: skip
LESION = np.zeros(PIXELS.shape, np.bool_)
LESION[30:60, 40:90] = True


@pytest.mark.parametrize("name", CHANGES)
def test_each_changes_the_picture_and_keeps_picture_and_truth_together(name: str) -> None:
    pixels, lesion = CHANGES[name]((PIXELS, LESION), np.random.default_rng(1))

    assert pixels.dtype == np.uint8
    assert pixels.shape == lesion.shape
    assert lesion.mean() == pytest.approx(LESION.mean(), rel=0.1)
    assert name == "thin bright marks painted over" or not np.array_equal(pixels, PIXELS)


def test_painted_callipers_can_be_taken_away_again() -> None:
    painted, _ = callipers_painted((PIXELS, LESION), np.random.default_rng(0))
    assert (painted > 200).sum() > 20

    cleaned, _ = callipers_removed((painted, LESION), np.random.default_rng(0))

    assert (cleaned > 200).sum() < 0.1 * (painted > 200).sum()
    assert (cleaned != painted).mean() < 0.05
