"""The MobileNetV2 backbone (Sandler 2018, alpha 1.0) and its batch normalization statistics."""

from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

BaseWeights = Path | Literal["imagenet"] | None
"""A file of weights without the top, ImageNet weights that Keras downloads, or random weights."""

_BATCH_SIZE = 8


def build_backbone(size_px: int, weights: BaseWeights = None) -> keras.Model:
    """Build MobileNetV2 without its top, for RGB ``(b, size_px, size_px, 3)`` in -1..1."""
    keras_weights = weights if weights == "imagenet" else None
    backbone = keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), include_top=False, weights=keras_weights, name="backbone"
    )
    if isinstance(weights, Path):
        backbone.load_weights(weights)
    return backbone


def restore_batch_norm(backbone: keras.Model, images: NDArray[np.float32]) -> None:
    """Set the batch norm statistics to those of ``images`` without changing the output.

    In weights recovered from an int8 model, batch norm is folded into the convolutions (mean 0,
    variance 1). Training them diverges, because gamma and beta act on unscaled activations.
    ``images`` is ``(n, size, size, 3)`` in -1..1.
    """
    layers = _batch_norm_layers(backbone)
    probe = keras.Model(backbone.input, [layer.input for layer in layers])
    sums: list[NDArray[np.float64]] = []
    for start in range(0, len(images), _BATCH_SIZE):
        batch = images[start : start + _BATCH_SIZE]
        batch_sums = []
        for output in probe(batch, training=False):
            x = keras.ops.convert_to_numpy(output).astype(np.float64)
            moments = np.stack([(x**power).mean((0, 1, 2)) for power in (1, 2)])
            batch_sums.append(moments * len(batch))
        sums = [a + b for a, b in zip(sums, batch_sums, strict=True)] if sums else batch_sums
    for layer, total in zip(layers, sums, strict=True):
        mean, square = total / len(images)
        variance = np.maximum(square - mean**2, 0.0)
        gamma, beta, old_mean, old_variance = (
            np.asarray(weight, np.float64) for weight in layer.get_weights()
        )
        slope = gamma / np.sqrt(old_variance + layer.epsilon)
        new_gamma = slope * np.sqrt(variance + layer.epsilon)
        layer.set_weights([new_gamma, beta + slope * (mean - old_mean), mean, variance])


def initialize_batch_norm(backbone: keras.Model, images: NDArray[np.float32]) -> None:
    """Set the batch norm statistics of a randomly initialized backbone, layer by layer.

    Training uses the stored statistics; with the initial ones (mean 0, variance 1) activations
    vanish. ``images`` is ``(n, size, size, 3)`` in -1..1.
    """
    layers = _batch_norm_layers(backbone)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    backbone(images, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _batch_norm_layers(backbone: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
