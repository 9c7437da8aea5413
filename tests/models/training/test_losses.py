from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.recipe import RecipeInvalid, read_recipe
from models.training.losses import build_losses, dice_loss, entropy_loss, focal_loss, overlap_loss


def lesions(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 2, 2, 1)


def overlap(truth: np.ndarray, logits: np.ndarray) -> list[float]:
    losses: list[float] = np.asarray(overlap_loss(truth, logits)).tolist()
    return losses


def test_the_overlap_loss_of_a_perfect_mask_is_zero() -> None:
    truth = lesions(1, 1, 0, 0)

    assert overlap(truth, (truth - 0.5) * 60) == pytest.approx([0], abs=1e-5)


def test_the_overlap_loss_matches_a_manual_calculation() -> None:
    # All probabilities one half: entropy log 2; Dice (2 * 1 + 1) / (2 + 2 + 1).
    expected = np.log(2) + 1 - 3 / 5

    assert overlap(lesions(1, 1, 0, 0), lesions(0, 0, 0, 0)) == pytest.approx([expected], abs=1e-5)


def test_the_overlap_loss_is_computed_per_image() -> None:
    truth = np.concatenate([lesions(1, 0, 0, 0), lesions(1, 1, 1, 1)])
    found_the_large_one = (np.concatenate([lesions(0, 0, 0, 0), lesions(1, 1, 1, 1)]) - 0.5) * 60

    missed, found = overlap(truth, found_the_large_one)

    assert missed > 0.5
    assert found == pytest.approx(0, abs=1e-5)


def test_a_mask_on_a_normal_image_is_penalized() -> None:
    nothing, left_alone, marked = (
        lesions(0, 0, 0, 0),
        lesions(*[-30] * 4),
        lesions(30, 30, -30, -30),
    )

    assert overlap(nothing, left_alone) == pytest.approx([0], abs=1e-5)
    assert overlap(nothing, marked)[0] > 0.6


@pytest.mark.parametrize("loss", [dice_loss, entropy_loss, focal_loss, overlap_loss])
def test_mask_losses_return_one_number_per_image(loss: Callable[..., Any]) -> None:
    truth = np.zeros((3, 8, 8, 1), np.float32)

    assert loss(truth, truth).shape == (3,)


def test_a_classifier_cannot_use_a_mask_loss() -> None:
    recipe = read_recipe("mobilenetv2-transfer").with_value("training.loss", "dice")

    with pytest.raises(RecipeInvalid, match="'dice' needs masks"):
        build_losses(recipe)


def test_the_focal_loss_reduces_the_weight_of_confident_predictions() -> None:
    truth, logits = np.array([[1.0, 0.0, 0.0]]), np.array([[3.0, 0.0, 0.0]])
    recipe = read_recipe("mobilenetv2-transfer")

    plain = build_losses(recipe)(truth, logits)
    focal = build_losses(recipe.with_value("training.loss", "focal"))(truth, logits)

    assert float(focal) < 0.1 * float(plain)
