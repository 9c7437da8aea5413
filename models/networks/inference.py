"""A preset's network, built, filled and traced for one batch size."""

import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from models.gradcam import closed_form, scaled
from models.networks.backbone import build_backbone
from models.networks.joint import build_joint
from models.networks.layers import Tensor
from models.preset import Preset
from models.types import PresetCorrupt

Answer = tuple[Tensor, Tensor, Tensor]
"""Class logits ``(b, 3)``, Grad-CAM ``(b, h, w)`` in 0..1, lesion logits ``(b, s, s, 1)``."""


def load_network(directory: Path, preset: Preset) -> keras.Model:
    """Build a preset's network and fill it from its weight file.

    Raises `PresetCorrupt` for weights of another architecture.
    """
    network = build_joint(build_backbone(preset.network.input_size_px))
    _fill(network, directory / preset.network.file)
    return network


def trace(
    network: keras.Model, batch_size: int, *, mirrored: bool = False
) -> Callable[[Tensor], Answer]:
    """Trace `explained` for uint8 ``(batch_size, s, s, 1)``."""
    spec = tf.TensorSpec((batch_size, *network.input_shape[1:]), tf.uint8)
    function = explained(network, mirrored=mirrored)
    traced = tf.function(lambda batch: function(tf.cast(batch, tf.float32)))
    return traced.get_concrete_function(spec)  # type: ignore[no-any-return]  # no types


def explained(network: keras.Model, *, mirrored: bool = False) -> Callable[[Tensor], Answer]:
    """Return a function from a batch to all that the network says of it.

    ``mirrored``: it looks at each image from both sides and says the mean, at twice the cost.
    """
    features, pooling = network.get_layer("deep_pool").input
    inner = keras.Model(network.input, [network.output, features, pooling])
    # `pooled` begins with these features; what it appends is not on their grid.
    rows = features.shape[-1] * pooling.shape[-1]
    kernel = network.get_layer("class").kernel
    views = 2 if mirrored else 1

    def call(batch: Tensor) -> Answer:
        said, features, pooling = inner(_views(batch, views), training=False)
        logits = tf.add_n(tf.split(said["class"], views)) / views
        predicted = tf.tile(tf.argmax(logits, axis=-1), [views])
        heat = closed_form(features, pooling, kernel[:rows], predicted)
        return logits, scaled(_merged(heat, views)), _merged(said["lesion"], views)

    return call


def _views(batch: Tensor, count: int) -> Tensor:
    return tf.concat([batch, tf.reverse(batch, [2])][:count], 0)


def _merged(maps: Tensor, count: int) -> Tensor:
    """Lay what the mirrored images gave upon what the straight ones gave."""
    straight, *mirrored = tf.split(maps, count)
    return tf.add_n([straight, *(tf.reverse(x, [2]) for x in mirrored)]) / count


def _fill(network: keras.Model, file: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file does not fill and leaves them at random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise PresetCorrupt(file.name, "holds no weights of this network") from error
