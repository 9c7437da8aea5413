"""Grad-CAM (Selvaraju 2017, arXiv:1610.02391) for the predicted class, inside a traced graph.

Importing this module loads TensorFlow.
"""

import keras
import tensorflow as tf

from models.networks.layers import Tensor


def closed_form(features: Tensor, logits: Tensor, dense_kernel: Tensor) -> Tensor:
    """Grad-CAM of a head of average pooling and one dense layer: the class activation map.

    There the gradient of a class's logit is the same at each pixel, its row of weights; nothing
    needs to be differentiated. ``features`` ``(b, h, w, k)``, ``logits`` ``(b, c)``,
    ``dense_kernel`` ``(k, c)``; returns ``(b, h, w)`` in 0..1.
    """
    weights = tf.gather(tf.transpose(dense_kernel), tf.argmax(logits, axis=-1))
    return _scaled(tf.einsum("bhwk,bk->bhw", features, weights))


def by_gradient(features: Tensor, head: keras.Model) -> tuple[Tensor, Tensor]:
    """Grad-CAM of any head: the logits ``(b, c)`` and the map ``(b, h, w)`` in 0..1."""
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = head(features, training=False)
        predicted = tf.reduce_max(logits, axis=-1)
    weights = tf.reduce_mean(tape.gradient(predicted, features), axis=(1, 2))
    return logits, _scaled(tf.einsum("bhwk,bk->bhw", features, weights))


def _scaled(activation: Tensor) -> Tensor:
    positive = tf.nn.relu(activation)
    highest = tf.reduce_max(positive, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(positive, highest)
