"""The joint network, which classifies and segments.

MobileNetV2 (Sandler 2018) encodes the frame. A decoder of residual blocks with attention gates on
the skip connections (Res-U-Net, Zhang 2018; Oktay 2018) predicts the lesion mask. A dense layer
predicts the class from features pooled over the whole frame, inside the predicted mask, and in a
band around it, which contains margin, halo and shadow.
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

# Backbone layer and decoder width, at strides 16, 8 and 4. A stage at stride 2 would nearly double
# the cost of the decoder.
SKIPS: tuple[tuple[str, int], ...] = (
    ("block_13_expand_relu", 96),
    ("block_6_expand_relu", 64),
    ("block_3_expand_relu", 40),
)
BOTTLENECK = "block_16_project_BN"
DEEPEST = "out_relu"
POOLS = ("deep_pool", "fine_pool")
"""The pooling layers of the class head, in the order of their outputs in ``pooled``."""


def build_joint(backbone: keras.Model, *, dropout: float = 0.4) -> keras.Model:
    """Build the network for gray pixels ``(b, s, s, 1)`` in 0..255, ``s`` a multiple of 32.

    Its outputs are class logits ``class`` ``(b, 3)`` in the order of `CLASSES` and lesion logits
    ``lesion`` ``(b, s, s, 1)``. The backbone's batch norm uses its stored statistics, also in
    training.

    Raises:
        RecipeInvalid: the input size is not a multiple of 32.
    """
    size = backbone.input_shape[1]
    if size % 32:
        raise RecipeInvalid(f"input.size_px {size}: a joint network needs a multiple of 32")
    gray = keras.Input((size, size, 1), name="gray")
    names = [DEEPEST, BOTTLENECK, *(name for name, _ in SKIPS)]
    outputs = [backbone.get_layer(name).output for name in names]
    encoder = keras.Model(backbone.input, outputs, name="encoder")
    deep, x, *skips = encoder(GrayToImageNet(name="to_imagenet")(gray), training=False)
    decoded = []
    for (layer, width), skip in zip(SKIPS, skips, strict=True):
        name = layer.removesuffix("_expand_relu")
        x = keras.layers.Conv2D(width, 1, name=f"{name}_narrow")(x)
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(x)
        gated = AttentionGate(width // 2, name=f"{name}_gate")((skip, x))
        gated = keras.layers.Conv2D(width, 1, name=f"{name}_skip")(gated)
        x = keras.layers.Concatenate(name=f"{name}_join")([x, gated])
        x = ResidualBlock(width, name=f"{name}_residual")(x)
        decoded.append(x)
    # Most pixels are background, so the bias starts at a low lesion probability.
    low = keras.initializers.Constant(-2.0)
    quarter = keras.layers.Conv2D(1, 1, bias_initializer=low, name="quarter_logits")(x)
    lesion = keras.layers.UpSampling2D(4, interpolation="bilinear", name="lesion")(quarter)
    pooled = _pool_by_lesion(deep, decoded[1], quarter)
    pooled = keras.layers.Dropout(dropout, name="dropout")(pooled)
    logits = keras.layers.Dense(len(CLASSES), name="class")(pooled)
    return keras.Model(gray, {"class": logits, "lesion": lesion}, name="joint")


def _pool_by_lesion(deep: Tensor, fine: Tensor, lesion: Tensor) -> Tensor:
    """Pool coarse and fine features by the lesion logits, and append their maximum."""
    coarse_weights = LesionWeights(deep.shape[1], reach=1, name="deep_weights")(lesion)
    fine_weights = LesionWeights(fine.shape[1], reach=2, name="fine_weights")(lesion)
    return keras.layers.Concatenate(name="pooled")(
        [
            WeightedPool(name=POOLS[0])([deep, coarse_weights]),
            WeightedPool(name=POOLS[1])([fine, fine_weights]),
            keras.layers.GlobalMaxPooling2D(name="peak")(lesion),
        ]
    )
