"""Segmenters without a pretrained encoder: U-Net, Res-U-Net and attention U-Net.

U-Net: Ronneberger 2015, arXiv:1505.04597. Res-U-Net: Zhang 2018, arXiv:1711.10684. Attention gates:
Oktay 2018, arXiv:1804.03999. Importing this module loads TensorFlow.
"""

from collections.abc import Sequence
from functools import partial

import keras

from models.networks.layers import FEATURES, AttentionGate, ResidualBlock, Tensor
from models.recipe import RecipeInvalid


def build_unet(
    size_px: int,
    widths: Sequence[int],
    *,
    channels: int = 1,
    residual: bool = False,
    attention: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a segmenter from pixels ``(b, s, s, channels)`` in 0..255 to logits ``(b, s, s, 1)``.

    ``widths`` are the numbers of filters from the finest grid to the bottleneck. Each level halves
    the grid, so ``s`` must be a multiple of ``2 ** (len(widths) - 1)``.

    Raises:
        RecipeInvalid: the input size is not such a multiple.
    """
    if size_px % (step := 2 ** (len(widths) - 1)):
        raise RecipeInvalid(
            f"input.size_px {size_px}: {len(widths)} widths halve the grid {len(widths) - 1} times"
            f" and need a multiple of {step}"
        )
    block = partial(_conv_block, residual=residual)
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
        name, skip = f"up_{level}", skips[level]
        x = keras.layers.Conv2DTranspose(width, 2, strides=2, name=f"{name}_grow")(x)
        if attention:
            skip = AttentionGate(max(1, width // 2), name=f"{name}_gate")((skip, x))
        x = block(keras.layers.Concatenate(name=f"{name}_join")([x, skip]), width, name)
    lesion = keras.layers.Conv2D(1, 1, name="lesion")(x)
    return keras.Model(pixels, lesion, name="segmenter")


def _conv_block(x: Tensor, width: int, name: str, *, residual: bool) -> Tensor:
    if residual:
        return ResidualBlock(width, name=f"{name}_residual")(x)
    for step in ("a", "b"):
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_{step}")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_{step}_norm")(x)
        x = keras.layers.ReLU(name=f"{name}_{step}_relu")(x)
    return x
