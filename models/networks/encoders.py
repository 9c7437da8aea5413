"""Encoders that recipes can name, with the input scaling that their ImageNet weights expect.

All except the vision transformer come from `keras.applications`. Importing this module loads
TensorFlow.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras

from models.networks.backbone import BaseWeights
from models.networks.layers import Tensor
from models.networks.transformer import build_vision_transformer
from models.types import ModelError

Scaling = Literal["none", "tf", "torch", "caffe", "efficientnet"]
"""Modes of Keras ``preprocess_input``; "none" if the network itself scales 0..255."""

_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_SD = [0.229, 0.224, 0.225]


class WeightsUnavailable(ModelError):
    """Raised when initial weights cannot be downloaded or do not fit."""


@dataclass(frozen=True)
class Encoder:
    """A function that builds an encoder for RGB ``(b, s, s, 3)``, and the scaling of its input."""

    build: Callable[..., keras.Model]
    scaling: Scaling


_APPLICATIONS: Mapping[str, Scaling] = {
    "ConvNeXtBase": "none",
    "DenseNet121": "torch",
    "EfficientNetB7": "efficientnet",
    "EfficientNetV2S": "none",
    "MobileNetV2": "tf",
    "ResNet50": "caffe",
    "ResNet152V2": "tf",
    "VGG19": "caffe",
}


def encoder_names() -> list[str]:
    """Return the values that ``network.encoder`` of a recipe can have."""
    return sorted([*_APPLICATIONS, "ViTB16"])


def find_encoder(name: str) -> Encoder:
    """Return an encoder by its name in recipes. Raises KeyError if it does not exist."""
    if name == "ViTB16":
        return Encoder(build_vision_transformer, "tf")
    return Encoder(getattr(keras.applications, name), _APPLICATIONS[name])


def build_encoder(name: str, size_px: int, weights: BaseWeights = None) -> keras.Model:
    """Build an encoder without its top, for scaled pixels ``(b, size_px, size_px, 3)``.

    Raises:
        WeightsUnavailable: ImageNet weights cannot be downloaded, or a file does not fit.
    """
    build = functools.partial(
        find_encoder(name).build, input_shape=(size_px, size_px, 3), include_top=False
    )
    # EfficientNet with ImageNet weights has one layer more. Saved networks are rebuilt without
    # weights, so the graph must always be that one.
    encoder = build(weights=None)
    try:
        if isinstance(weights, Path):
            encoder.load_weights(weights)
        elif weights == "imagenet":
            encoder.set_weights(build(weights="imagenet").get_weights())
    except Exception as error:  # Keras raises a bare Exception if a download fails
        if isinstance(weights, Path):
            problem = f"{weights.name} does not contain weights of {name} without its top"
        else:
            problem = (
                f"ImageNet weights of {name} cannot be downloaded; use a weight file or random"
                " weights"
            )
        raise WeightsUnavailable(problem) from error
    return keras.Model(encoder.input, encoder.output, name="backbone")


@keras.saving.register_keras_serializable(package="sonogate")
class ScaleInput(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Converts gray or RGB ``(b, h, w, 1 or 3)`` in 0..255 to RGB in an encoder's scaling."""

    def __init__(self, scaling: Scaling, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.scaling = scaling

    def call(self, pixels: Tensor) -> Tensor:
        x = keras.ops.cast(pixels, self.compute_dtype)
        if x.shape[-1] == 1:
            x = keras.ops.concatenate([x] * 3, axis=-1)
        if self.scaling == "none":
            return x
        if self.scaling == "tf":
            return x / 127.5 - 1.0
        if self.scaling == "caffe":
            return keras.ops.flip(x, -1) - _constant([103.939, 116.779, 123.68], x)
        if self.scaling == "torch":
            return (x / 255.0 - _constant(_IMAGENET_MEAN, x)) / _constant(_IMAGENET_SD, x)
        # The published EfficientNet weights divide by the square root of the standard deviation
        # instead of the standard deviation. This compensates for it.
        mean = _constant(_IMAGENET_MEAN, x) * 255.0
        return mean + (x - mean) / keras.ops.sqrt(_constant(_IMAGENET_SD, x))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "scaling": self.scaling}


def _constant(values: list[float], like: Tensor) -> Tensor:
    return keras.ops.convert_to_tensor(values, like.dtype)
