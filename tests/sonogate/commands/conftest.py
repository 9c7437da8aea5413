"""Small sets of training data and small recipes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from models.phantom import make_phantom
from tests.sonogate.conftest import Run

KINDS = ("normal", "normal"), ("cyst", "benign"), ("spiculated", "malignant")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two small phantoms of each class, laid out as for training."""
    folder = tmp_path / "data"
    for kind, name in KINDS:
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            add_phantom(folder / name, kind, seed)
    return folder


def add_phantom(folder: Path, kind: str, seed: int) -> None:
    phantom = make_phantom(kind, seed=seed, height=96, width=128, spacing_mm=0.35)
    Image.fromarray(phantom.image).save(folder / f"{seed}.png")
    Image.fromarray(phantom.mask).save(folder / f"{seed}_mask.png")


def save_noise(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 80), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def incomplete_data(tmp_path: Path) -> Path:
    """Two benign and two malignant images, one of either the same; none normal, none outlined."""
    for name, first in (("benign", 0), ("malignant", 1)):
        for seed in (first, first + 1):
            save_noise(tmp_path / "data" / name / f"{seed}.png", seed)
    return tmp_path / "data"


CLASSIFIER = """
[network]
kind = "classifier"
encoder = "MobileNetV2"
head = [{ layer = "GlobalAveragePooling2D" }]
"""


SEGMENTER = """
[network]
kind = "segmenter"
decoder = "unet"
widths = [4, 8]
"""


JOINT = """
[network]
kind = "joint"
encoder = "MobileNetV2"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    """Write a recipe for 64 pixels and one epoch round a network."""

    def write(network: str) -> Path:
        file = tmp_path / "mine.toml"
        loss = "cross-entropy" if network == CLASSIFIER else "overlap"
        file.write_text(
            f'''summary = "For a test."
            [input]
            size_px = 64
            {network}
            [training]
            epochs = 1
            batch_size = 4
            learning_rate = 1e-3
            loss = "{loss}"
            [published]
            work = "A work"
            data = "Theirs"
            split = "random"
            metrics = {{ accuracy = 0.99, dice = 0.98 }}
            [tune]
            "training.learning_rate" = [1e-4, 1e-3]
            "training.seed" = [0, 1]
            '''
        )
        return file

    return write


keras_warns = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning",
    # Keras Tuner 1.4 asks for its thread in the old way.
    r"ignore::DeprecationWarning:keras_tuner\..*",
)


@pytest.fixture
def train(
    run: Run, home: Path, data: Path, tmp_path: Path, recipe: Callable[[str], Path]
) -> Iterator[Callable[..., Result]]:
    """`sonogate train` of a network on two folds, from a random start, step by step."""
    import tensorflow as tf

    def invoke(network: str, *more: object) -> Result:
        return run(
            "train", recipe(network), "--data", data, "--out", tmp_path / "out",
            "--folds", 2, "--backbone", "random", *more,
        )  # fmt: skip

    tf.config.run_functions_eagerly(True)
    yield invoke
    tf.config.run_functions_eagerly(False)


def read_summary(folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((folder / "out" / "summary.json").read_text())
    return figures
