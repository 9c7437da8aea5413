"""Grad-CAM (Selvaraju 2017, arXiv:1610.02391) inside a traced graph, in closed form or not.

Importing this module loads TensorFlow.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from models.networks.layers import Tensor


def closed_form(
    features: Tensor, pooling: Tensor, dense_kernel: Tensor, predicted: Tensor
) -> Tensor:
    """Grad-CAM of a head of weighted pooling and one dense layer, for the ``predicted`` class.

    There a logit is linear in the features, so that nothing needs to be differentiated: its mean
    gradient is its row of weights, times how much the pooling took in all. ``features``
    ``(b, h, w, k)``, ``pooling`` ``(b, h, w, j)`` as in `models.networks.layers.WeightedPool`,
    ``dense_kernel`` ``(j * k, c)``, ``predicted`` ``(b,)``; returns ``(b, h, w)``, not negative
    and not scaled.
    """
    taken, channels = tf.reduce_sum(pooling, (1, 2)), features.shape[-1]
    rows = tf.reshape(
        tf.gather(tf.transpose(dense_kernel), predicted), (-1, taken.shape[-1], channels)
    )
    weights = tf.einsum("bj,bjk->bk", taken, rows)
    return tf.nn.relu(tf.einsum("bhwk,bk->bhw", features, weights))


def by_gradient(
    network: keras.Model, layer: str = "features"
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Grad-CAM of any head over the output ``(b, h, w, k)`` of ``layer``, for the predicted class.

    Returns a function, to be traced, from the network's input to its logits ``(b, c)`` and the map
    ``(b, h, w)``, not negative and not scaled. The features are computed once.
    """
    features = network.get_layer(layer).output
    stem, head = keras.Model(network.input, features), keras.Model(features, network.output)

    def call(batch: Tensor) -> tuple[Tensor, Tensor]:
        seen = stem(batch, training=False)
        with tf.GradientTape() as tape:
            tape.watch(seen)
            logits = head(seen, training=False)
            predicted = tf.reduce_max(logits, axis=-1)
        weights = tf.reduce_mean(tape.gradient(predicted, seen), axis=(1, 2))
        return logits, tf.nn.relu(tf.einsum("bhwk,bk->bhw", seen, weights))

    return call


def scaled(activation: Tensor) -> Tensor:
    """Bring each ``(h, w)`` of ``(b, h, w)`` to a highest value of 1; an empty one stays empty."""
    highest = tf.reduce_max(activation, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(activation, highest)
