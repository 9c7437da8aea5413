"""One harness for all networks: shape, one step lowers the loss, save and load, determinism."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.networks.backbone import build_backbone, settle_batch_norm
from models.networks.classifier import build_classifier
from models.networks.segmenter import build_segmenter
from models.training.dataset import SampleArrays
from models.training.train import Trained, TrainingConfig, train_classifier, train_segmenter
from tests.models.conftest import SIZE_PX


@dataclass(frozen=True)
class Architecture:
    name: str
    build: Callable[[], Any]
    train: Callable[[SampleArrays, TrainingConfig], Trained]
    output_shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return self.name


def settled_backbone() -> Any:
    """A random start whose output differs from image to image."""
    backbone = build_backbone(SIZE_PX)
    noise = np.random.default_rng(0).uniform(-1, 1, (16, SIZE_PX, SIZE_PX, 3))
    settle_batch_norm(backbone, noise.astype(np.float32))
    return backbone


ARCHITECTURES = [
    Architecture(
        "classifier",
        lambda: build_classifier(settled_backbone()),
        train_classifier,
        (None, 3),
    ),
    Architecture(
        "classifier with a hidden layer",
        lambda: build_classifier(settled_backbone(), hidden_units=16),
        train_classifier,
        (None, 3),
    ),
    Architecture(
        "segmenter",
        lambda: build_segmenter(settled_backbone()),
        train_segmenter,
        (None, SIZE_PX, SIZE_PX, 1),
    ),
]
every_network = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
trained_networks = pytest.mark.parametrize(
    "architecture", [ARCHITECTURES[0], ARCHITECTURES[2]], ids=str
)


saves_weights = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def predict(network: Any, data: SampleArrays) -> np.ndarray:
    return np.asarray(network(data.pixels[..., None].astype(np.float32), training=False))


@every_network
def test_shapes_and_names_are_as_promised(architecture: Architecture) -> None:
    network = architecture.build()

    assert network.input_shape == (None, SIZE_PX, SIZE_PX, 1)
    assert network.output_shape == architecture.output_shape
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    assert names[0] == "gray"


@saves_weights
@every_network
def test_saved_and_loaded_weights_give_the_same_output(
    architecture: Architecture, blobs: SampleArrays, tmp_path: Path
) -> None:
    network, other = architecture.build(), architecture.build()
    assert not np.allclose(predict(network, blobs), predict(other, blobs), atol=1e-2)

    network.save_weights(tmp_path / "network.weights.h5")
    other.load_weights(tmp_path / "network.weights.h5")

    assert predict(network, blobs) == pytest.approx(predict(other, blobs), abs=1e-5)


def test_a_saved_architecture_is_rebuilt_also_when_its_module_has_moved(
    blobs: SampleArrays,
) -> None:
    network = ARCHITECTURES[2].build()
    saved = network.to_json().replace("models.networks", "moved.elsewhere")
    assert "sonogate>AttentionGate" in saved

    rebuilt = keras.models.model_from_json(saved)
    rebuilt.set_weights(network.get_weights())

    assert predict(network, blobs) == pytest.approx(predict(rebuilt, blobs), abs=1e-5)


@trained_networks
@pytest.mark.usefixtures("eagerly")
def test_training_lowers_the_loss(architecture: Architecture, blobs: SampleArrays) -> None:
    config = TrainingConfig(epochs=3, size_px=SIZE_PX, batch_size=12, learning_rate=1e-3,
                            backbone=None)  # fmt: skip

    trained = architecture.train(blobs, config)

    assert len(trained.losses) == 3
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.usefixtures("eagerly")
def test_one_seed_gives_one_network(blobs: SampleArrays) -> None:
    config = TrainingConfig(epochs=1, size_px=SIZE_PX, batch_size=12, backbone=None)

    first = predict(train_classifier(blobs, config).network, blobs)

    assert predict(train_classifier(blobs, config).network, blobs) == pytest.approx(first, abs=1e-4)
