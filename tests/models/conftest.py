"""Small networks and datasets: the shipped architectures on 64 pixels with random weights."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Sample, SampleArrays, read_samples
from models.phantom import make_phantom
from models.recipe import Recipe

SIZE_PX = 64
KINDS = {"normal": "normal", "benign": "cyst", "malignant": "spiculated"}


@pytest.fixture
def eager_execution() -> Iterator[None]:
    """Run Keras eagerly: for a few training steps, tracing a graph takes longer."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def blobs() -> SampleArrays:
    """Twelve images, four per class: noise without a lesion, a dark disc, a bright disc."""
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
    """Build a recipe with one epoch for `blobs`; keywords such as training__epochs set values."""

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


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four phantoms of each class, in two folds."""
    return write_phantoms(tmp_path / "data")


def write_phantoms(folder: Path, *, images_per_class: int = 4) -> list[Sample]:
    """Write small phantoms of each class with masks; list them in two folds."""
    for name, kind in KINDS.items():
        (folder / name).mkdir(parents=True)
        for seed in range(images_per_class):
            phantom = make_phantom(kind, seed=seed, height=64, width=80, spacing_mm=0.5)
            stem = folder / name / f"{name} ({seed})"
            Image.fromarray(phantom.image).save(f"{stem}.png")
            Image.fromarray(phantom.mask).save(f"{stem}_mask.png")
    return read_samples(folder, folds=2)
