"""Lesion outlines: a U-Net of residual blocks with attention gates on its skips.

The encoder is MobileNetV2, whose inverted residual blocks carry the ImageNet start; the decoder
is made of residual blocks (Zhang 2018, Res-U-Net) and attention gates (Oktay 2018).
"""

import keras

from models.networks.layers import AttentionGate, GrayToImageNet, ResidualBlock, Tensor

# Backbone layer, and the decoder's width at its resolution: strides 16, 8, 4, 2.
SKIPS: tuple[tuple[str, int], ...] = (
    ("block_13_expand_relu", 96),
    ("block_6_expand_relu", 64),
    ("block_3_expand_relu", 48),
    ("block_1_expand_relu", 24),
)
BOTTLENECK = "block_16_project_BN"


def build_segmenter(backbone: keras.Model) -> keras.Model:
    """Gray ``(b, s, s, 1)`` in 0..255 to ``(b, s, s, 1)`` lesion logits; ``s`` a multiple of 32."""
    size = backbone.input_shape[1]
    gray = keras.Input((size, size, 1), name="gray")
    bottom, *skips = _encoder(backbone)(GrayToImageNet(name="to_imagenet")(gray), training=False)
    x = bottom
    for (name, width), skip in zip(SKIPS, skips, strict=True):
        x = _up(x, skip, width, name.removesuffix("_expand_relu"))
    x = keras.layers.Conv2D(1, 1, name="half_logits")(x)
    logits = keras.layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x)
    return keras.Model(gray, logits, name="segmenter")


def _encoder(backbone: keras.Model) -> keras.Model:
    names = [BOTTLENECK, *(name for name, _ in SKIPS)]
    outputs = [backbone.get_layer(name).output for name in names]
    return keras.Model(backbone.input, outputs, name="encoder")


def _up(x: Tensor, skip: Tensor, width: int, name: str) -> Tensor:
    x = keras.layers.Conv2D(width, 1, name=f"{name}_narrow")(x)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(x)
    seen = AttentionGate(width // 2, name=f"{name}_gate")((skip, x))
    seen = keras.layers.Conv2D(width, 1, name=f"{name}_skip")(seen)
    x = keras.layers.Concatenate(name=f"{name}_join")([x, seen])
    return ResidualBlock(width, name=f"{name}_residual")(x)
