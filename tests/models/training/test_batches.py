import numpy as np
import pytest

from models.data.dataset import SampleArrays
from models.recipe import AugmentSpec, read_recipe
from models.training.batches import (
    class_weights,
    count_batches,
    epoch_order,
    inverse_sqrt_order,
    training_batches,
)

LABELS = np.repeat([0, 1, 2], [4, 10, 7])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rare_classes_are_sampled_by_the_inverse_square_root_of_their_frequency() -> None:
    labels = np.repeat([0, 1, 2], [20, 320, 60])

    seen = [labels[inverse_sqrt_order(labels, np.random.default_rng(seed))] for seed in range(5)]

    for order in seen:
        assert abs(len(order) - 400) <= 1
        # In proportion to the square roots 4.47, 17.9 and 7.75.
        assert np.bincount(order) == pytest.approx([59.4, 237.6, 102.9], abs=1.1)


def test_balanced_classes_give_a_permutation() -> None:
    labels = np.repeat([0, 1, 2], [20, 20, 20])

    for balance in ("none", "inverse-sqrt", "class-weights", "oversample"):
        order = epoch_order(labels, balance, rng())
        assert sorted(order) == list(range(60))
        assert list(order) != list(range(60))


def test_oversampling_makes_all_classes_equally_frequent() -> None:
    order = epoch_order(LABELS, "oversample", rng())

    assert np.bincount(LABELS[order]).tolist() == [10, 10, 10]
    assert set(order) == set(range(21)), "no image is left out"
    assert np.bincount(order).max() == 3, "4 images for 10 places: none comes four times"


def test_class_weights_balance_the_classes() -> None:
    weights = class_weights(LABELS)

    assert (weights * np.bincount(LABELS)).tolist() == pytest.approx([7, 7, 7])
    assert weights[LABELS].mean() == pytest.approx(1)


def test_an_absent_class_has_weight_zero() -> None:
    assert class_weights(np.array([1, 1, 2, 2])).tolist() == [0, 1, 1]


@pytest.mark.parametrize(("balance", "expected"), [("none", 6), ("oversample", 8)])
def test_the_number_of_batches_is_known_in_advance(balance: str, expected: int) -> None:
    recipe = read_recipe("default").with_value("training.balance", balance)
    recipe = recipe.with_value("training.batch_size", 4)
    recipe = recipe.model_copy(update={"augment": AugmentSpec()})
    data = SampleArrays(np.zeros((21, 32, 32), np.uint8), np.zeros((21, 32, 32), bool), LABELS)

    drawn = list(training_batches(data, recipe, rng()))

    assert len(drawn) == count_batches(LABELS, recipe) == expected
    assert {len(batch) for batch in drawn[:-1]} == {4}
