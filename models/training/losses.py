"""Loss functions that recipes name. Importing this module loads TensorFlow."""

from collections.abc import Callable
from typing import Any

import keras

from models.networks.layers import Tensor
from models.recipe import Recipe, RecipeInvalid

MaskLoss = Callable[[Tensor, Tensor], Tensor]
"""Takes true masks and lesion logits ``(b, s, s, 1)``, returns losses ``(b,)``."""


def build_losses(recipe: Recipe) -> Any:
    """Return the ``loss`` argument of ``keras.Model.compile``.

    Raises:
        RecipeInvalid: a classifier names a loss for masks.
    """
    kind, loss = recipe.network.kind, recipe.training.loss
    if kind == "segmenter":
        return _MASK_LOSSES[loss]
    if kind == "classifier" and loss in ("dice", "overlap"):
        raise RecipeInvalid(f"recipe {recipe.name}: training.loss {loss!r} needs masks")
    class_loss_type = (
        keras.losses.CategoricalFocalCrossentropy
        if loss == "focal"
        else keras.losses.CategoricalCrossentropy
    )
    class_loss = class_loss_type(from_logits=True, label_smoothing=recipe.training.label_smoothing)
    if kind == "classifier":
        return class_loss
    return {"class": class_loss, "lesion": _MASK_LOSSES[loss]}


def overlap_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice loss (Milletari 2016), both per image, ``(b,)``.

    A loss per image weighs small and large lesions alike.
    """
    return entropy_loss(truth, logits) + dice_loss(truth, logits)


def dice_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """1 minus the soft Dice coefficient of each image, ``(b,)``.

    Smoothing by 1 makes an empty mask correct on images without a lesion.
    """
    probability = keras.ops.sigmoid(logits)
    pixels = (1, 2, 3)
    overlap = 2 * keras.ops.sum(truth * probability, pixels) + 1.0
    total = keras.ops.sum(truth, pixels) + keras.ops.sum(probability, pixels) + 1.0
    return 1 - overlap / total


def entropy_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Mean binary cross-entropy of each image, ``(b,)``."""
    return keras.ops.mean(keras.losses.binary_crossentropy(truth, logits, from_logits=True), (1, 2))


def focal_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Mean binary focal loss of each image, ``(b,)`` (Lin 2017, arXiv:1708.02002)."""
    return keras.ops.mean(
        keras.losses.binary_focal_crossentropy(truth, logits, from_logits=True), (1, 2)
    )


_MASK_LOSSES: dict[str, MaskLoss] = {
    "cross-entropy": entropy_loss,
    "focal": focal_loss,
    "dice": dice_loss,
    "overlap": overlap_loss,
}
