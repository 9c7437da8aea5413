"""Grad-CAM, place by place, inside a traced graph, in closed form or not.

Grad-CAM (Selvaraju 2017, arXiv:1610.02391) averages the gradient over the frame and then weighs the
features with it. A head that pools by the outline has another gradient at every place, and the
average forgets where it looked. So features and gradient are multiplied at each place (HiResCAM,
Draelos 2020, arXiv:2011.08891); where the gradient is even, as behind global average pooling, both
are the same map.

Importing this module loads TensorFlow.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from models.networks.layers import Tensor


class Reading(NamedTuple):
    """What a head of one dense layer reads through one `models.networks.layers.WeightedPool`.

    ``features`` ``(b, h, w, k)``, ``pooling`` ``(b, h, w, j)``, and the ``(j * k, c)`` rows of the
    dense layer's kernel that they meet.
    """

    features: Tensor
    pooling: Tensor
    kernel: Tensor


def shares(reading: Reading, predicted: Tensor) -> Tensor:
    """What each place adds to the logit of the ``predicted`` ``(b,)`` class: ``(b, h, w)``.

    Their sum is all that the logit has from this reading.
    """
    shape = (-1, reading.pooling.shape[-1], reading.features.shape[-1])
    rows = tf.reshape(tf.gather(tf.transpose(reading.kernel), predicted), shape)
    weights = tf.einsum("bhwj,bjk->bhwk", reading.pooling, rows)
    return tf.einsum("bhwk,bhwk->bhw", reading.features, weights)


def closed_form(readings: Sequence[Reading], predicted: Tensor) -> Tensor:
    """Return what speaks for the ``predicted`` ``(b,)`` class, on the finest grid of ``readings``.

    A logit is linear in the features there, so that nothing needs to be differentiated. What a
    coarser cell adds is spread over the finer ones. ``(b, h, w)``, not negative and not scaled.
    """
    parts = [shares(each, predicted) for each in readings]
    finest = max((part.shape[1:] for part in parts), key=lambda grid: grid[0])
    return tf.nn.relu(tf.add_n([_spread(part, finest) for part in parts]))


def _spread(part: Tensor, grid: Sequence[int]) -> Tensor:
    cells = (part.shape[1] * part.shape[2]) / (grid[0] * grid[1])
    return tf.image.resize(part[..., None], grid)[..., 0] * cells


def by_gradient(
    network: keras.Model, layer: str, *, above: float = 0.0
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The same of whatever stands behind the output ``(b, h, w, k)`` of ``layer``.

    Returns a function, to be traced, from the network's input to its logits and the map
    ``(b, h, w)``, not negative and not scaled. Logits of classes ``(b, c)`` are asked for the
    predicted one; of a mask ``(b, s, s, 1)`` for all that lie ``above`` together (Seg-Grad-CAM,
    Vinogradova 2020, arXiv:2002.11434).
    """
    features = network.get_layer(layer).output
    stem = keras.Model(network.input, features)
    # Skip connections reach past the features: what they carry is computed from the input again.
    head = keras.Model([features, network.input], network.output)

    def call(batch: Tensor) -> tuple[Tensor, Tensor]:
        seen = stem(batch, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(seen)
            logits = head([seen, batch], training=False)
            told = _asserted(logits, above)
        return logits, tf.nn.relu(tf.reduce_sum(tape.gradient(told, seen) * seen, axis=-1))

    return call


def _asserted(logits: Tensor, above: float) -> Tensor:
    if len(logits.shape) == 2:
        return tf.reduce_max(logits, axis=-1)
    return tf.reduce_sum(tf.nn.relu(logits - above), axis=(1, 2, 3))


def scaled(activation: Tensor) -> Tensor:
    """Bring each ``(h, w)`` of ``(b, h, w)`` to a highest value of 1; an empty one stays empty."""
    highest = tf.reduce_max(activation, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(activation, highest)
