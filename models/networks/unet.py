"""Segmenters that start from nothing: U-Net and its residual and attentive kin.

U-Net: Ronneberger 2015, arXiv:1505.04597. Res-U-Net: Zhang 2018, arXiv:1711.10684. Attention gates:
Oktay 2018, arXiv:1804.03999. Importing this module loads TensorFlow.
"""

from collections.abc import Callable, Sequence

import keras

from models.networks.layers import FEATURES, AttentionGate, ResidualBlock, Tensor
from models.recipe import RecipeInvalid

_Block = Callable[[Tensor, int, str], Tensor]


def build_unet(
    size_px: int,
    widths: Sequence[int],
    *,
    channels: int = 1,
    residual: bool = False,
    attention: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Pixels ``(b, s, s, channels)`` in 0..255 to lesion logits ``(b, s, s, 1)``.

    ``widths``: filters from the finest grid to the bottleneck; each step halves the grid, so that
    ``s`` must be a multiple of ``2 ** (len(widths) - 1)``. Raises `models.recipe.RecipeInvalid`.
    """
    if size_px % (step := 2 ** (len(widths) - 1)):
        raise RecipeInvalid(
            f"input.size_px {size_px}: a decoder of {len(widths)} widths halves the grid"
            f" {len(widths) - 1} times, so that a multiple of {step} is wanted"
        )
    block = _residual if residual else _plain
    pixels = keras.Input((size_px, size_px, channels), name="pixels")
    x = keras.layers.Rescaling(1 / 255, name="to_unit")(pixels)
    skips = []
    for level, width in enumerate(widths[:-1]):
        skips.append(block(x, width, f"down_{level}"))
        x = keras.layers.MaxPooling2D(2, name=f"down_{level}_pool")(skips[-1])
    x = block(x, widths[-1], "bottom")
    x = keras.layers.Activation("linear", name=FEATURES)(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    for level, width in reversed(list(enumerate(widths[:-1]))):
        x = _up(x, skips[level], width, f"up_{level}", block, attention=attention)
    lesion = keras.layers.Conv2D(1, 1, name="lesion")(x)
    return keras.Model(pixels, lesion, name="segmenter")


def _up(
    x: Tensor, skip: Tensor, width: int, name: str, block: _Block, *, attention: bool
) -> Tensor:
    x = keras.layers.Conv2DTranspose(width, 2, strides=2, name=f"{name}_grow")(x)
    if attention:
        skip = AttentionGate(max(1, width // 2), name=f"{name}_gate")((skip, x))
    return block(keras.layers.Concatenate(name=f"{name}_join")([x, skip]), width, name)


def _plain(x: Tensor, width: int, name: str) -> Tensor:
    for step in ("a", "b"):
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_{step}")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_{step}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_{step}_relu")(x)
    return x


def _residual(x: Tensor, width: int, name: str) -> Tensor:
    return ResidualBlock(width, name=f"{name}_residual")(x)
