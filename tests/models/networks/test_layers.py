import numpy as np
import pytest

from models.networks.layers import LesionWeights, WeightedPool


def lesion_at(rows: slice, columns: slice) -> np.ndarray:
    """Lesion logits of 32x32 pixels with high confidence."""
    logits = np.full((1, 32, 32, 1), -40, np.float32)
    logits[0, rows, columns] = 40
    return logits


def weights(logits: np.ndarray) -> np.ndarray:
    counted: np.ndarray = np.asarray(LesionWeights(8, reach=1)(logits))[0]
    return counted


def test_the_first_weights_are_uniform() -> None:
    assert weights(lesion_at(slice(0, 4), slice(0, 4)))[..., 0] == pytest.approx(1 / 64)


def test_the_other_weights_separate_the_lesion_from_its_surroundings() -> None:
    _, inside, around = np.moveaxis(weights(lesion_at(slice(8, 16), slice(12, 20))), -1, 0)

    expected = np.zeros((8, 8), np.bool_)
    expected[2:4, 3:5] = True
    assert ((inside > 0.01) == expected).all()
    band = np.zeros((8, 8), np.bool_)
    band[1:5, 2:6] = True
    assert ((around > 0.01) == (band & ~expected)).all()
    assert inside.sum() == pytest.approx(4 / 4.5)
    assert around.sum() == pytest.approx(12 / 12.5)


def test_without_a_lesion_only_the_uniform_weights_remain() -> None:
    _, inside, around = np.moveaxis(weights(lesion_at(slice(0, 0), slice(0, 0))), -1, 0)

    assert inside.max() == pytest.approx(0, abs=1e-6)
    assert around.max() == pytest.approx(0, abs=1e-6)


def test_features_are_pooled_by_each_set_of_weights() -> None:
    features = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    pooling = np.zeros((1, 2, 2, 2), np.float32)
    pooling[0, ..., 0] = 0.25
    pooling[0, 1, 1, 1] = 1

    assert np.asarray(WeightedPool()([features, pooling])).tolist() == [[3, 4, 6, 7]]
