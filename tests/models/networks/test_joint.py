"""The joint network: shapes, training, saving and loading, reproducibility."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.data.dataset import SampleArrays
from models.networks.backbone import build_backbone, initialize_batch_norm
from models.networks.joint import build_joint
from models.recipe import Recipe
from models.training.train import train
from tests.models.conftest import SIZE_PX

saves_weights = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def build() -> Any:
    """Build a network with random weights whose output differs from image to image."""
    backbone = build_backbone(SIZE_PX)
    noise = np.random.default_rng(0).uniform(-1, 1, (16, SIZE_PX, SIZE_PX, 3))
    initialize_batch_norm(backbone, noise.astype(np.float32))
    return build_joint(backbone)


def predict(network: Any, data: SampleArrays) -> np.ndarray:
    output = network(data.pixels[..., None].astype(np.float32), training=False)
    return np.concatenate(
        [np.reshape(output[key], (len(data), -1)) for key in ("class", "lesion")], 1
    )


def test_outputs_and_layer_names_are_as_documented() -> None:
    network = build()

    assert network.input_shape == (None, SIZE_PX, SIZE_PX, 1)
    shapes = {name: output.shape for name, output in network.output.items()}
    assert shapes == {"class": (None, 3), "lesion": (None, SIZE_PX, SIZE_PX, 1)}
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    assert names[0] == "gray"


@saves_weights
def test_saved_and_loaded_weights_give_the_same_output(blobs: SampleArrays, tmp_path: Path) -> None:
    network, other = build(), build()
    assert not np.allclose(predict(network, blobs), predict(other, blobs), atol=1e-2)

    network.save_weights(tmp_path / "network.weights.h5")
    other.load_weights(tmp_path / "network.weights.h5")

    assert predict(network, blobs) == pytest.approx(predict(other, blobs), abs=1e-5)


def test_a_saved_architecture_does_not_depend_on_module_paths(
    blobs: SampleArrays,
) -> None:
    network = build()
    saved = network.to_json().replace("models.networks", "moved.elsewhere")
    assert "sonogate>LesionWeights" in saved

    rebuilt = keras.models.model_from_json(saved)
    rebuilt.set_weights(network.get_weights())

    assert predict(network, blobs) == pytest.approx(predict(rebuilt, blobs), abs=1e-5)


@pytest.mark.usefixtures("eager_execution")
def test_training_lowers_the_loss(blobs: SampleArrays, small: Callable[..., Recipe]) -> None:
    recipe = small("joint", training__epochs=4, training__learning_rate=1.5e-3)

    trained = train(blobs, recipe)

    assert len(trained.losses) == 4
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.usefixtures("eager_execution")
def test_the_same_seed_gives_the_same_network(
    blobs: SampleArrays, small: Callable[..., Recipe]
) -> None:
    recipe = small("joint", network__dropout=0.4, training__learning_rate=1.5e-3)

    first = predict(train(blobs, recipe).network, blobs)

    assert predict(train(blobs, recipe).network, blobs) == pytest.approx(first, abs=1e-3)


def test_the_class_loss_does_not_train_the_pooling_weights(blobs: SampleArrays) -> None:
    """The pooling weights pass no gradient to the lesion logits."""
    import tensorflow as tf

    logits = tf.Variable(np.random.default_rng(0).normal(size=(2, 16, 16, 1)), dtype=tf.float32)
    layer = build().get_layer("deep_weights")

    with tf.GradientTape() as tape:
        weights = layer(logits)

    assert tape.gradient(weights, logits) is None
