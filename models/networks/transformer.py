"""Vision transformer ViT-B/16 (Dosovitskiy 2021, arXiv:2010.11929) without its top.

`keras.applications` does not contain it. Importing this module loads TensorFlow.
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
    """Build the encoder from RGB ``(b, s, s, 3)`` in -1..1 to ``(b, s / 16, s / 16, 768)``.

    The output is a grid of tokens as in convolutional encoders, for pooling and Grad-CAM; there is
    no class token.

    Raises:
        ValueError: ``weights`` or ``include_top`` are given, for which Keras has no files.
    """
    if weights is not None or include_top:
        raise ValueError("Keras has no ImageNet weights of ViT-B/16, and no top")
    side = input_shape[0] // PATCH_PX
    pixels = keras.Input(input_shape, name="pixels")
    x = keras.layers.Conv2D(WIDTH, PATCH_PX, strides=PATCH_PX, name="patches")(pixels)
    x = Positions(name="positions")(keras.layers.Reshape((side**2, WIDTH), name="tokens")(x))
    for number in range(depth):
        block = f"block_{number}"
        y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{block}_attention_norm")(x)
        attention: Any = keras.layers.MultiHeadAttention(
            HEADS, WIDTH // HEADS, name=f"{block}_attention"
        )
        x = keras.layers.Add(name=f"{block}_attended")([x, attention(y, y)])
        y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{block}_mlp_norm")(x)
        y = keras.layers.Dense(4 * WIDTH, activation="gelu", name=f"{block}_mlp_wide")(y)
        y = keras.layers.Dense(WIDTH, name=f"{block}_mlp_narrow")(y)
        x = keras.layers.Add(name=f"{block}_done")([x, y])
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = keras.layers.Reshape((side, side, WIDTH), name="grid")(x)
    return keras.Model(pixels, x, name=name)
