"""Custom layers, registered by name so that saved networks do not depend on module paths."""

from typing import Any

import keras

Tensor = Any  # keras ships no types

FEATURES = "features"
"""Name of the layer whose output ``(b, h, w, k)`` Grad-CAM uses.

It is the input of a classifier's head, and the coarsest grid of a segmenter.
"""


@keras.saving.register_keras_serializable(package="sonogate")
class GrayToImageNet(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Converts gray ``(b, h, w, 1)`` in 0..255 to ``(b, h, w, 3)`` in -1..1 for MobileNetV2."""

    def call(self, gray: Tensor) -> Tensor:
        scaled = keras.ops.cast(gray, self.compute_dtype) / 127.5 - 1.0
        return keras.ops.concatenate([scaled] * 3, axis=-1)


@keras.saving.register_keras_serializable(package="sonogate")
class ResidualBlock(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Two 3x3 convolutions with a 1x1 shortcut (He 2016), for the decoder.

    Uses group normalization (Wu 2018) because statistics of small batches are too noisy.
    """

    def __init__(self, filters: int, groups: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.groups = filters, groups
        self.first = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.second = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)
        self.shortcut = keras.layers.Conv2D(filters, 1)
        self.first_norm = keras.layers.GroupNormalization(groups)
        self.second_norm = keras.layers.GroupNormalization(groups)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inner = (*input_shape[:-1], self.filters)
        self.first.build(input_shape)
        self.shortcut.build(input_shape)
        for layer in (self.second, self.first_norm, self.second_norm):
            layer.build(inner)
        super().build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        y = keras.ops.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return keras.ops.relu(y + self.shortcut(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


@keras.saving.register_keras_serializable(package="sonogate")
class AttentionGate(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Additive attention on a skip connection (Oktay 2018, arXiv:1804.03999).

    Called with ``(skip, gate)`` of the same resolution; returns the skip weighted per pixel.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.from_skip = keras.layers.Conv2D(filters, 1)
        self.from_gate = keras.layers.Conv2D(filters, 1, use_bias=False)
        self.weight = keras.layers.Conv2D(1, 1, activation="sigmoid")

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        skip, gate = input_shape
        self.from_skip.build(skip)
        self.from_gate.build(gate)
        self.weight.build((*skip[:-1], self.filters))
        super().build(input_shape)

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        skip, gate = inputs
        return skip * self.weight(keras.ops.relu(self.from_skip(skip) + self.from_gate(gate)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="sonogate")
class LesionWeights(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Converts lesion logits ``(b, h, w, 1)`` to pooling weights on a coarser grid.

    Returns ``(b, grid, grid, 3)``: uniform weights, weights inside the lesion, and weights in a
    band of ``reach`` cells around it. Each sums to 1 over the grid; the last two tend to 0 without
    a lesion. No gradient passes, so that only the mask loss trains the lesion logits.
    """

    def __init__(self, grid: int, reach: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid, self.reach = grid, reach

    def call(self, logits: Tensor) -> Tensor:
        ops = keras.ops
        cell = logits.shape[1] // self.grid
        inside = ops.average_pool(ops.sigmoid(ops.stop_gradient(logits)), cell, cell)
        around = ops.max_pool(inside, 2 * self.reach + 1, 1, padding="same") - inside
        parts = ops.concatenate([inside, around], -1)
        parts = parts / (ops.sum(parts, (1, 2), keepdims=True) + 0.5)
        return ops.concatenate([ops.ones_like(inside) / self.grid**2, parts], -1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.grid, self.grid, 3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": self.grid, "reach": self.reach}


@keras.saving.register_keras_serializable(package="sonogate")
class WeightedPool(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Pools features ``(b, h, w, k)`` by each of ``(b, h, w, j)`` weights to ``(b, j * k)``."""

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        features, weights = inputs
        pooled = keras.ops.einsum("bhwk,bhwj->bjk", features, weights)
        return keras.ops.reshape(pooled, (-1, weights.shape[-1] * features.shape[-1]))


@keras.saving.register_keras_serializable(package="sonogate")
class LightweightAttention(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Efficient channel attention (Wang 2020, arXiv:1910.03151) of ``(b, h, w, k)``.

    Global average pooling, a convolution along the channels with ``kernel_size`` weights, and a
    sigmoid give the weight of each channel.
    """

    def __init__(self, kernel_size: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.mix = keras.layers.Conv1D(1, kernel_size, padding="same", use_bias=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.mix.build((None, input_shape[-1], 1))
        super().build(input_shape)

    def call(self, features: Tensor) -> Tensor:
        mean = keras.ops.mean(features, (1, 2))
        weights = keras.ops.sigmoid(self.mix(mean[..., None]))[:, None, None, :, 0]
        return features * weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}
