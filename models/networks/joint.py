"""One network for both questions: what is it, and where.

MobileNetV2 (Sandler 2018) encodes a frame once. Residual blocks with attention gates on the skips
(Zhang 2018, Res-U-Net; Oktay 2018) decode the lesion. The class is read from features pooled over
the whole frame, inside the lesion so found, and in a band around it, where margins, halo and
shadow are: the mask teaches the class where to look.
"""

import keras

from dicom.terms.classification import CLASSES
from models.networks.layers import (
    AttentionGate,
    GrayToImageNet,
    LesionWeights,
    ResidualBlock,
    Tensor,
    WeightedPool,
)
from models.recipe import RecipeInvalid

# Backbone layer, and the decoder's width at its resolution: strides 16, 8, 4. A step to stride 2
# would nearly double the decoder's cost.
SKIPS: tuple[tuple[str, int], ...] = (
    ("block_13_expand_relu", 96),
    ("block_6_expand_relu", 64),
    ("block_3_expand_relu", 40),
)
BOTTLENECK = "block_16_project_BN"
DEEPEST = "out_relu"
POOLS = ("deep_pool", "fine_pool")
"""The layers by which the class head reads features from a grid, in their order in ``pooled``."""


def build_joint(backbone: keras.Model, *, dropout: float = 0.4) -> keras.Model:
    """Gray ``(b, s, s, 1)`` in 0..255 to two kinds of logits; ``s`` a multiple of 32.

    ``class`` is ``(b, 3)`` in the order of `CLASSES`, ``lesion`` ``(b, s, s, 1)``. The backbone's
    batch norm keeps its stored statistics, also in training. Raises `models.recipe.RecipeInvalid`.
    """
    size = backbone.input_shape[1]
    if size % 32:
        raise RecipeInvalid(f"input.size_px {size}: a joint network wants a multiple of 32")
    gray = keras.Input((size, size, 1), name="gray")
    deep, x, *skips = _encoder(backbone)(GrayToImageNet(name="to_imagenet")(gray), training=False)
    decoded = []
    for (name, width), skip in zip(SKIPS, skips, strict=True):
        x = _up(x, skip, width, name.removesuffix("_expand_relu"))
        decoded.append(x)
    # Most pixels are not lesion: starting there spares the first steps a detour.
    rare = keras.initializers.Constant(-2.0)
    quarter = keras.layers.Conv2D(1, 1, bias_initializer=rare, name="quarter_logits")(x)
    lesion = keras.layers.UpSampling2D(4, interpolation="bilinear", name="lesion")(quarter)
    pooled = _look(deep, decoded[1], quarter)
    kept = keras.layers.Dropout(dropout, name="dropout")(pooled)
    logits = keras.layers.Dense(len(CLASSES), name="class")(kept)
    return keras.Model(gray, {"class": logits, "lesion": lesion}, name="joint")


def _encoder(backbone: keras.Model) -> keras.Model:
    names = [DEEPEST, BOTTLENECK, *(name for name, _ in SKIPS)]
    outputs = [backbone.get_layer(name).output for name in names]
    return keras.Model(backbone.input, outputs, name="encoder")


def _up(x: Tensor, skip: Tensor, width: int, name: str) -> Tensor:
    x = keras.layers.Conv2D(width, 1, name=f"{name}_narrow")(x)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(x)
    seen = AttentionGate(width // 2, name=f"{name}_gate")((skip, x))
    seen = keras.layers.Conv2D(width, 1, name=f"{name}_skip")(seen)
    x = keras.layers.Concatenate(name=f"{name}_join")([x, seen])
    return ResidualBlock(width, name=f"{name}_residual")(x)


def _look(deep: Tensor, fine: Tensor, lesion: Tensor) -> Tensor:
    """Pool coarse and fine features by the lesion, and tell how sure the surest pixel is."""
    coarse_weights = LesionWeights(deep.shape[1], reach=1, name="deep_weights")(lesion)
    fine_weights = LesionWeights(fine.shape[1], reach=2, name="fine_weights")(lesion)
    return keras.layers.Concatenate(name="pooled")(
        [
            WeightedPool(name=POOLS[0])([deep, coarse_weights]),
            WeightedPool(name=POOLS[1])([fine, fine_weights]),
            keras.layers.GlobalMaxPooling2D(name="peak")(lesion),
        ]
    )
