"""Grad-CAM per location, in closed form or by gradient, as part of a traced graph.

Grad-CAM (Selvaraju 2017, arXiv:1610.02391) averages the gradient over the frame before weighting
the features. If the head pools inside the predicted mask, the gradient differs between locations
and the average loses that information. Features and gradient are therefore multiplied at each
location (HiResCAM, Draelos 2020, arXiv:2011.08891). Both are equal if the gradient is uniform, as
with global average pooling.

Importing this module loads TensorFlow.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from models.networks.layers import Tensor


class PooledFeatures(NamedTuple):
    """What a dense class head reads through one `models.networks.layers.WeightedPool`.

    ``features`` is ``(b, h, w, k)``, ``weights`` ``(b, h, w, j)``, and ``kernel`` ``(j * k, c)``
    the rows of the dense layer's kernel that multiply the pooled features.
    """

    features: Tensor
    weights: Tensor
    kernel: Tensor


def logit_contributions(pooled: PooledFeatures, predicted: Tensor) -> Tensor:
    """Return the contribution of each location to a logit, ``(b, h, w)``.

    ``predicted`` ``(b,)`` selects the class of each image. The contributions sum to the part of the
    logit that comes from ``pooled``.
    """
    shape = (-1, pooled.weights.shape[-1], pooled.features.shape[-1])
    rows = tf.reshape(tf.gather(tf.transpose(pooled.kernel), predicted), shape)
    gradient = tf.einsum("bhwj,bjk->bhwk", pooled.weights, rows)
    return tf.einsum("bhwk,bhwk->bhw", pooled.features, gradient)


def closed_form_map(pooled: Sequence[PooledFeatures], predicted: Tensor) -> Tensor:
    """Return Grad-CAM of the ``predicted`` ``(b,)`` classes, ``(b, h, w)`` on the finest grid.

    The logits are linear in the features, so no gradient is computed. Contributions on coarser
    grids are distributed over the finest one. Values are non-negative and not normalized.
    """
    parts = [logit_contributions(part, predicted) for part in pooled]
    grid = max((part.shape[1:] for part in parts), key=lambda shape: shape[0])
    resized = []
    for part in parts:
        cells = (part.shape[1] * part.shape[2]) / (grid[0] * grid[1])
        resized.append(tf.image.resize(part[..., None], grid)[..., 0] * cells)
    return tf.nn.relu(tf.add_n(resized))


def gradient_map(
    network: keras.Model, layer: str, *, above: float = 0.0
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a function, to be traced, from a batch to logits and Grad-CAM by gradient.

    Grad-CAM is ``(b, h, w)``, non-negative and not normalized, on the grid of the output
    ``(b, h, w, k)`` of ``layer``. It explains the predicted class of class logits ``(b, c)``, or
    the sum of the mask logits ``(b, s, s, 1)`` that exceed ``above`` (Seg-Grad-CAM, Vinogradova
    2020, arXiv:2002.11434).
    """
    features = network.get_layer(layer).output
    stem = keras.Model(network.input, features)
    # Skip connections bypass the features; the head computes them from the input again.
    head = keras.Model([features, network.input], network.output)

    def call(batch: Tensor) -> tuple[Tensor, Tensor]:
        activations = stem(batch, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(activations)
            logits = head([activations, batch], training=False)
            if len(logits.shape) == 2:
                target = tf.reduce_max(logits, axis=-1)
            else:
                target = tf.reduce_sum(tf.nn.relu(logits - above), axis=(1, 2, 3))
        gradient = tape.gradient(target, activations)
        return logits, tf.nn.relu(tf.reduce_sum(gradient * activations, axis=-1))

    return call


def normalize_maps(maps: Tensor) -> Tensor:
    """Scale each ``(h, w)`` of ``(b, h, w)`` to a maximum of 1; maps of zeros stay unchanged."""
    maxima = tf.reduce_max(maps, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(maps, maxima)
