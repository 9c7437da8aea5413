"""Vision transformer B/16 (Dosovitskiy 2021, arXiv:2010.11929) without its top.

`keras.applications` has none. Importing this module loads TensorFlow.
"""

from typing import Any

import keras

from models.networks.layers import Tensor

PATCH_PX = 16
WIDTH = 768
HEADS = 12
DEPTH = 12


@keras.saving.register_keras_serializable(package="sonogate")
class Positions(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Adds a learned vector to each token of ``(b, n, width)``."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(shape=input_shape[1:], initializer=normal, name="table")

    def call(self, tokens: Tensor) -> Tensor:
        return tokens + self.table


def build_vision_transformer(
    *,
    input_shape: tuple[int, int, int],
    include_top: bool = False,
    weights: str | None = None,
    name: str = "vit_b16",
    depth: int = DEPTH,
) -> keras.Model:
    """RGB ``(b, s, s, 3)`` in -1..1 to features ``(b, s / 16, s / 16, 768)``.

    Tokens keep their places, so that heads pool over them and Grad-CAM maps them, as in
    convolutional encoders; there is no class token. Keras hosts no weights for it: ``weights`` must
    be None. Raises ValueError otherwise.
    """
    if weights is not None or include_top:
        raise ValueError("there are no ImageNet weights of ViT-B/16 to download, and no top")
    side = input_shape[0] // PATCH_PX
    pixels = keras.Input(input_shape, name="pixels")
    x = keras.layers.Conv2D(WIDTH, PATCH_PX, strides=PATCH_PX, name="patches")(pixels)
    x = Positions(name="positions")(keras.layers.Reshape((side**2, WIDTH), name="tokens")(x))
    for number in range(depth):
        x = _block(x, f"block_{number}")
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = keras.layers.Reshape((side, side, WIDTH), name="grid")(x)
    return keras.Model(pixels, x, name=name)


def _block(x: Tensor, name: str) -> Tensor:
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    attention: Any = keras.layers.MultiHeadAttention(
        HEADS, WIDTH // HEADS, name=f"{name}_attention"
    )
    x = keras.layers.Add(name=f"{name}_attended")([x, attention(y, y)])
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_mlp_norm")(x)
    y = keras.layers.Dense(4 * WIDTH, activation="gelu", name=f"{name}_mlp_wide")(y)
    y = keras.layers.Dense(WIDTH, name=f"{name}_mlp_narrow")(y)
    return keras.layers.Add(name=f"{name}_done")([x, y])
