"""MobileNetV2 (Sandler 2018, alpha 1.0) as the start of both networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

BaseWeights = Path | Literal["imagenet"] | None
"""A file of ``include_top=False`` weights, Keras's own download, or a random start."""


def build_backbone(size_px: int, weights: BaseWeights = None) -> keras.Model:
    """MobileNetV2 without its top for ``(b, size_px, size_px, 3)`` in -1..1."""
    named = weights if weights == "imagenet" else None
    backbone = keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), include_top=False, weights=named, name="backbone"
    )
    if isinstance(weights, Path):
        backbone.load_weights(weights)
    return backbone


def spread_batch_norm(backbone: keras.Model, images: NDArray[np.float32]) -> None:
    """Re-express each batch norm by the statistics of ``images``; what it computes is unchanged.

    Weights recovered from an int8 model come with batch norm folded away (mean 0, variance 1),
    and gradient steps on them diverge: gamma and beta then act on unscaled activations.
    ``images`` is ``(n, size, size, 3)`` in -1..1.
    """
    layers = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    probe = keras.Model(backbone.input, [layer.input for layer in layers])
    for layer, (mean, variance) in zip(layers, _moments(probe, images), strict=True):
        _restate(layer, mean, variance)


def settle_batch_norm(backbone: keras.Model, images: NDArray[np.float32]) -> None:
    """Give a random start the batch norm statistics of ``images``, layer after layer.

    Without it the stored statistics (mean 0, variance 1), which are used in training too, let the
    signal fade to nothing. ``images`` is ``(n, size, size, 3)`` in -1..1.
    """
    layers = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    backbone(images, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _moments(probe: keras.Model, images: NDArray[np.float32]) -> Iterator[tuple[Any, Any]]:
    batches = [images[start : start + 8] for start in range(0, len(images), 8)]
    sums: list[NDArray[np.float64]] = []
    for batch in batches:
        outputs = (
            keras.ops.convert_to_numpy(x).astype(np.float64) for x in probe(batch, training=False)
        )
        new = [np.stack([(x**p).mean((0, 1, 2)) * len(batch) for p in (1, 2)]) for x in outputs]
        sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
    for mean, square in (total / len(images) for total in sums):
        yield mean, np.maximum(square - mean**2, 0.0)


def _restate(layer: Any, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
    gamma, beta, old_mean, old_variance = (np.asarray(w, np.float64) for w in layer.get_weights())
    slope = gamma / np.sqrt(old_variance + layer.epsilon)
    new_gamma = slope * np.sqrt(variance + layer.epsilon)
    layer.set_weights([new_gamma, beta + slope * (mean - old_mean), mean, variance])
