"""Encoders that recipes may name, each with the scaling that its ImageNet weights were made for.

All but the vision transformer come from `keras.applications`. Importing this module loads
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
"""What Keras calls a ``preprocess_input`` mode; "none": the network scales 0..255 itself."""

_MEAN = [0.485, 0.456, 0.406]
_DEVIATION = [0.229, 0.224, 0.225]


class StartUnavailable(ModelError):
    """The starting weights that were asked for cannot be had; the text says what can be done."""


@dataclass(frozen=True)
class Encoder:
    """How to build an encoder for RGB ``(b, s, s, 3)`` and what its input is scaled to."""

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
    """Names that ``network.encoder`` of a recipe may take."""
    return sorted([*_APPLICATIONS, "ViTB16"])


def find_encoder(name: str) -> Encoder:
    """Look an encoder up by its name in recipes; KeyError for one that does not exist."""
    if name == "ViTB16":
        return Encoder(build_vision_transformer, "tf")
    return Encoder(getattr(keras.applications, name), _APPLICATIONS[name])


def build_encoder(name: str, size_px: int, weights: BaseWeights = None) -> keras.Model:
    """Build ``name`` without its top for ``(b, size_px, size_px, 3)``, scaled as it wants.

    Raises `StartUnavailable`: ImageNet weights cannot be downloaded, or a file does not fit.
    """
    build = functools.partial(
        find_encoder(name).build, input_shape=(size_px, size_px, 3), include_top=False
    )
    # Always the graph without weights: with ImageNet's, EfficientNet gets one layer more, and what
    # was trained with it would be read back into another network.
    encoder = build(weights=None)
    try:
        if isinstance(weights, Path):
            encoder.load_weights(weights)
        elif weights == "imagenet":
            encoder.set_weights(build(weights="imagenet").get_weights())
    except Exception as error:  # Keras raises a bare Exception for a download that failed
        raise StartUnavailable(_unavailable(name, weights)) from error
    return keras.Model(encoder.input, encoder.output, name="backbone")


def _unavailable(name: str, weights: BaseWeights) -> str:
    if isinstance(weights, Path):
        return f"{weights.name} holds no weights of {name} without its top"
    return (
        f"ImageNet weights of {name} cannot be downloaded; give a weights file, or start at random"
    )


@keras.saving.register_keras_serializable(package="sonogate")
class ToEncoder(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Gray or RGB ``(b, h, w, 1 or 3)`` in 0..255 to RGB on an encoder's own scale."""

    def __init__(self, scaling: Scaling, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.scaling = scaling

    def call(self, pixels: Tensor) -> Tensor:
        x = keras.ops.cast(pixels, self.compute_dtype)
        if x.shape[-1] == 1:
            x = keras.ops.concatenate([x] * 3, axis=-1)
        return _SCALED[self.scaling](x)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 3)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "scaling": self.scaling}


def _torch(x: Tensor) -> Tensor:
    mean, deviation = (keras.ops.convert_to_tensor(each, x.dtype) for each in (_MEAN, _DEVIATION))
    return (x / 255.0 - mean) / deviation


def _caffe(x: Tensor) -> Tensor:
    return keras.ops.flip(x, -1) - keras.ops.convert_to_tensor([103.939, 116.779, 123.68], x.dtype)


def _efficientnet(x: Tensor) -> Tensor:
    """Undo a slip in the published weights: they divide by the root of the deviation, not by it."""
    root = keras.ops.sqrt(keras.ops.convert_to_tensor(_DEVIATION, x.dtype))
    mean = keras.ops.convert_to_tensor(_MEAN, x.dtype) * 255.0
    return mean + (x - mean) / root


_SCALED: Mapping[Scaling, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "tf": lambda x: x / 127.5 - 1.0,
    "torch": _torch,
    "caffe": _caffe,
    "efficientnet": _efficientnet,
}
