"""Losses that recipes name. Importing this module loads TensorFlow."""

from collections.abc import Callable
from typing import Any

import keras

from models.networks.layers import Tensor
from models.recipe import Recipe, RecipeInvalid

Loss = Callable[[Tensor, Tensor], Tensor]


def losses_of(recipe: Recipe) -> Any:
    """What ``compile`` takes as loss. Raises `RecipeInvalid` for a mask's loss on classes alone."""
    kind, loss = recipe.network.kind, recipe.training.loss
    if kind == "classifier" and loss in ("dice", "overlap"):
        raise RecipeInvalid(f"recipe {recipe.name}: training.loss {loss!r} needs a mask")
    if kind == "classifier":
        return _class_loss(recipe)
    if kind == "segmenter":
        return _MASK_LOSSES[loss]
    return {"class": _class_loss(recipe), "lesion": _MASK_LOSSES[loss]}


def overlap_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice (Milletari 2016), the overlap taken image by image.

    So a small lesion counts as much as a large one. The 1 added to both sides of the fraction
    makes an empty outline right, and any other wrong, where there is no lesion.
    """
    return entropy_loss(truth, logits) + dice_loss(truth, logits)


def dice_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """1 minus soft Dice of each image, ``(b,)``."""
    probability = keras.ops.sigmoid(logits)
    pixels = (1, 2, 3)
    overlap = 2 * keras.ops.sum(truth * probability, pixels) + 1.0
    total = keras.ops.sum(truth, pixels) + keras.ops.sum(probability, pixels) + 1.0
    return 1 - overlap / total


def entropy_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy, its mean over each image, ``(b,)``."""
    return keras.ops.mean(keras.losses.binary_crossentropy(truth, logits, from_logits=True), (1, 2))


def focal_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary focal loss (Lin 2017, arXiv:1708.02002), its mean over each image, ``(b,)``."""
    return keras.ops.mean(
        keras.losses.binary_focal_crossentropy(truth, logits, from_logits=True), (1, 2)
    )


_MASK_LOSSES: dict[str, Loss] = {
    "cross-entropy": entropy_loss,
    "focal": focal_loss,
    "dice": dice_loss,
    "overlap": overlap_loss,
}


def _class_loss(recipe: Recipe) -> keras.losses.Loss:
    focal = recipe.training.loss == "focal"
    kind = (
        keras.losses.CategoricalFocalCrossentropy if focal else keras.losses.CategoricalCrossentropy
    )
    return kind(from_logits=True, label_smoothing=recipe.training.label_smoothing)
