"""A preset's networks, built, filled and traced as one graph for one batch size."""

import warnings
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.gradcam import Reading, closed_form, scaled
from models.networks.backbone import build_backbone
from models.networks.joint import POOLS, build_joint
from models.networks.layers import Tensor
from models.preset import NetworkFile, Preset
from models.types import PresetCorrupt

Answer = tuple[Tensor, Tensor, Tensor]
"""Class logits ``(b, 3)``, Grad-CAM ``(b, h, w)`` and lesion probability ``(b, s, s)`` in 0..1."""

NO_SHIFT = (0.0, 0.0, 0.0)


def load_networks(directory: Path, preset: Preset) -> list[keras.Model]:
    """Build a preset's networks and fill them from their weight files.

    Raises `PresetCorrupt` for weights of another architecture.
    """
    return [_loaded(directory, file) for file in preset.networks]


def trace(
    networks: Sequence[keras.Model],
    batch_size: int,
    *,
    mirrored: bool = False,
    class_shift: Sequence[float] = NO_SHIFT,
) -> Callable[[Tensor], Answer]:
    """Trace `explained` for uint8 ``(batch_size, s, s, 1)``, with the weights as they are now.

    Weights that cannot change let TensorFlow merge operations: a fifth less time, the same answers
    to 3e-5.
    """
    spec = tf.TensorSpec((batch_size, *networks[0].input_shape[1:]), tf.uint8)
    function = explained(networks, mirrored=mirrored, class_shift=class_shift)
    traced = tf.function(lambda batch: function(tf.cast(batch, tf.float32)))
    concrete = traced.get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(concrete)
    return lambda batch: frozen(tf.constant(batch))


def explained(
    networks: Sequence[keras.Model],
    *,
    mirrored: bool = False,
    class_shift: Sequence[float] = NO_SHIFT,
) -> Callable[[Tensor], Answer]:
    """Return a function from a batch to all that the networks say of it, on average.

    ``mirrored``: they look at each image from both sides, at twice the cost. ``class_shift`` moves
    the logits where the heat map's class is chosen, as calibration will; not those returned.
    """
    inner = [_opened(network) for network in networks]
    views, shift = 2 if mirrored else 1, tf.constant(class_shift, tf.float32)

    def call(batch: Tensor) -> Answer:
        answers = [opened(_views(batch, views)) for opened in inner]
        logits = _mean([part for said, _ in answers for part in tf.split(said["class"], views)])
        predicted = tf.tile(tf.argmax(logits + shift, axis=-1), [views])
        heats = [
            scaled(_merged(closed_form(readings, predicted), views)) for _, readings in answers
        ]
        # Not of logits: one that is sure of nothing would hide a lesion that the other has found.
        lesion = [_merged(tf.sigmoid(said["lesion"]), views) for said, _ in answers]
        return logits, scaled(_mean(heats)), _mean(lesion)[..., 0]

    return call


def _opened(network: keras.Model) -> Callable[[Tensor], tuple[dict[str, Tensor], list[Reading]]]:
    """A network that also tells what its class head reads, and where."""
    pools = [network.get_layer(name) for name in POOLS]
    inner = keras.Model(network.input, [network.output, *(pool.input for pool in pools)])
    # `pooled` is these, one after the other; what it appends lies on no grid.
    ends = list(accumulate(pool.output.shape[-1] for pool in pools))
    kernel = network.get_layer("class").kernel
    rows = [kernel[start:end] for start, end in pairwise([0, *ends])]

    def call(batch: Tensor) -> tuple[dict[str, Tensor], list[Reading]]:
        said, *read = inner(batch, training=False)
        return said, [
            Reading(each[0], each[1], part) for each, part in zip(read, rows, strict=True)
        ]

    return call


def _mean(values: Sequence[Tensor]) -> Tensor:
    return tf.add_n(list(values)) / len(values)


def _loaded(directory: Path, file: NetworkFile) -> keras.Model:
    network = build_joint(build_backbone(file.input_size_px))
    fill(network, directory / file.file)
    return network


def _views(batch: Tensor, count: int) -> Tensor:
    return tf.concat([batch, tf.reverse(batch, [2])][:count], 0)


def _merged(maps: Tensor, count: int) -> Tensor:
    """Lay what the mirrored images gave upon what the straight ones gave."""
    straight, *mirrored = tf.split(maps, count)
    return tf.add_n([straight, *(tf.reverse(x, [2]) for x in mirrored)]) / count


def fill(network: keras.Model, file: Path) -> None:
    """Load weights. Raises `PresetCorrupt` for those of another architecture."""
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file does not fill and leaves them at random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        raise PresetCorrupt(file.name, "holds no weights of this network") from error
