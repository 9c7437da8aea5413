"""Networks small enough for a test: the shipped architectures on 64 pixels, started at random."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from models.recipe import Recipe
from models.training.dataset import SampleArrays

SIZE_PX = 64


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Run Keras step by step: a few training steps are over before a graph would be traced."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def blobs() -> SampleArrays:
    """Twelve images, four of a class: noise with nothing, a dark disc, a bright one."""
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    pixels = rng.integers(90, 130, (12, SIZE_PX, SIZE_PX), dtype=np.uint8)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    lesions = np.zeros(pixels.shape, np.bool_)
    for row, label in enumerate(labels):
        if label:
            x, y = rng.uniform(24, 40, 2)
            lesions[row] = np.hypot(rows - y, columns - x) < 14
            pixels[row][lesions[row]] = 20 if label == 1 else 230
    return SampleArrays(pixels, lesions, labels)


@pytest.fixture(scope="session")
def small() -> Callable[..., Recipe]:
    """Make a recipe of a kind for `blobs`, one epoch long; keywords change dotted keys."""

    def make(kind: str, **changes: float | str) -> Recipe:
        network: dict[str, object] = {"kind": kind, "encoder": "MobileNetV2"}
        if kind == "segmenter":
            network = {"kind": kind, "decoder": "unet", "widths": (4, 8), "dropout": 0.3}
        if kind == "classifier":
            network["head"] = ({"layer": "GlobalAveragePooling2D"},)
        loss = "cross-entropy" if kind == "classifier" else "overlap"
        recipe = Recipe.model_validate(
            {
                "name": f"small-{kind}",
                "summary": "For tests.",
                "input": {"size_px": SIZE_PX},
                "network": network,
                "training": {"epochs": 1, "batch_size": 12, "learning_rate": 1e-2, "loss": loss},
            }
        )
        for key, value in changes.items():
            recipe = recipe.with_value(key.replace("__", "."), value)
        return recipe

    return make
