"""Perturbations of images, and the correlation of heat maps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Sample
from models.evaluation.evaluate import Predict
from models.evaluation.robustness import (
    PERTURBATIONS,
    heatmap_correlation,
    paint_calipers,
    remove_calipers,
)
from models.types import FramePrediction

PIXELS = np.clip(
    np.random.default_rng(0).normal(90, 12, (96, 128)), 0, 255
).astype(np.uint8)  # fmt: skip
LESION = np.zeros(PIXELS.shape, np.bool_)
LESION[30:60, 40:90] = True


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_each_perturbation_changes_the_image_and_its_mask_consistently(name: str) -> None:
    pixels, lesion = PERTURBATIONS[name]((PIXELS, LESION), np.random.default_rng(1))

    assert pixels.dtype == np.uint8
    assert pixels.shape == lesion.shape
    assert lesion.mean() == pytest.approx(LESION.mean(), rel=0.1)
    assert name == "thin bright marks removed" or not np.array_equal(pixels, PIXELS)


def test_painted_calipers_can_be_removed() -> None:
    painted, _ = paint_calipers((PIXELS, LESION), np.random.default_rng(0))
    assert (painted > 200).sum() > 20

    cleaned, _ = remove_calipers((painted, LESION), np.random.default_rng(0))

    assert (cleaned > 200).sum() < 0.1 * (painted > 200).sum()
    assert (cleaned != painted).mean() < 0.05


def looking(heat: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Predict:
    """Predict benign, with a heat map computed from the image."""

    def predict(frames: Sequence[NDArray[np.uint8]]) -> list[FramePrediction]:
        return [
            FramePrediction(
                (0.1, 0.8, 0.1),
                np.zeros(frame.shape, np.bool_),
                heat((frame / 255).astype(np.float32)),
            )
            for frame in frames
        ]

    return predict


def test_heat_maps_are_compared_by_rank(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", 1, (), 0, 0)] * 3
    bright, squared = looking(lambda x: x), looking(lambda x: x**2)

    assert heatmap_correlation(bright, squared, samples) == pytest.approx(1)
    assert heatmap_correlation(bright, looking(lambda x: 1 - x), samples) == pytest.approx(-1)
    assert abs(heatmap_correlation(bright, looking(lambda x: x[::-1, ::-1]), samples)) < 0.3
    assert np.isnan(heatmap_correlation(bright, looking(np.zeros_like), samples))
