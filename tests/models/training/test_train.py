from pathlib import Path

import keras
import numpy as np
import pytest

from models.networks.backbone import build_backbone, settle_batch_norm
from models.training.dataset import SampleArrays
from models.training.train import (
    SplitRateAdamW,
    TrainingConfig,
    balanced_order,
    overlap_loss,
    train,
)


def lesions(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 2, 2, 1)


def overlap(truth: np.ndarray, logits: np.ndarray) -> list[float]:
    losses: list[float] = np.asarray(overlap_loss(truth, logits)).tolist()
    return losses


def test_the_overlap_loss_is_nothing_when_all_is_right() -> None:
    truth = lesions(1, 1, 0, 0)

    assert overlap(truth, (truth - 0.5) * 60) == pytest.approx([0], abs=1e-5)


def test_the_overlap_loss_matches_a_hand_count() -> None:
    # All probabilities one half: entropy log 2; Dice (2 * 1 + 1) / (2 + 2 + 1).
    expected = np.log(2) + 1 - 3 / 5

    assert overlap(lesions(1, 1, 0, 0), lesions(0, 0, 0, 0)) == pytest.approx([expected], abs=1e-5)


def test_each_image_counts_by_itself() -> None:
    truth = np.concatenate([lesions(1, 0, 0, 0), lesions(1, 1, 1, 1)])
    found_the_large_one = (np.concatenate([lesions(0, 0, 0, 0), lesions(1, 1, 1, 1)]) - 0.5) * 60

    missed, found = overlap(truth, found_the_large_one)

    assert missed > 0.5
    assert found == pytest.approx(0, abs=1e-5)


def test_a_normal_image_must_be_left_alone() -> None:
    nothing, left_alone, marked = (
        lesions(0, 0, 0, 0),
        lesions(*[-30] * 4),
        lesions(30, 30, -30, -30),
    )

    assert overlap(nothing, left_alone) == pytest.approx([0], abs=1e-5)
    assert overlap(nothing, marked)[0] > 0.6


def test_an_epoch_brings_rare_classes_back_more_often() -> None:
    labels = np.repeat([0, 1, 2], [20, 320, 60])

    seen = [labels[balanced_order(labels, np.random.default_rng(seed))] for seed in range(5)]

    for order in seen:
        assert abs(len(order) - 400) <= 1
        # By the root of their number: 4.47 to 17.9 to 7.75.
        assert np.bincount(order) == pytest.approx([59.4, 237.6, 102.9], abs=1.1)


def test_in_an_epoch_each_image_has_its_turn() -> None:
    labels = np.repeat([0, 1, 2], [20, 20, 20])

    order = balanced_order(labels, np.random.default_rng(0))

    assert sorted(order) == list(range(60))
    assert list(order) != list(range(60))


def test_the_slow_variables_learn_at_their_share_of_the_rate() -> None:
    slow, fast = keras.Variable([1.0], name="slow"), keras.Variable([1.0], name="fast")
    optimizer = SplitRateAdamW([slow], 0.1, learning_rate=1e-2, weight_decay=0.0)

    optimizer.apply([keras.ops.ones(1), keras.ops.ones(1)], [slow, fast])

    assert 1 - float(slow[0]) == pytest.approx(1e-3, rel=1e-3)
    assert 1 - float(fast[0]) == pytest.approx(1e-2, rel=1e-3)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
def test_what_imagenet_taught_of_edges_stays(blobs: SampleArrays, tmp_path: Path) -> None:
    start = build_backbone(64)
    settle_batch_norm(start, np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("f4"))
    start.save_weights(tmp_path / "start.weights.h5")
    config = TrainingConfig(epochs=1, size_px=64, batch_size=12,
                            backbone=tmp_path / "start.weights.h5")  # fmt: skip

    encoder = train(blobs, config).network.get_layer("encoder")

    def moved(name: str) -> bool:
        before, after = (x.get_layer(name).get_weights()[0] for x in (start, encoder))
        return bool(np.abs(before - after).max() > 0)

    assert not moved("Conv1")
    assert not moved("block_2_project")
    assert moved("block_5_project")
