import keras
import numpy as np
import pytest

from models.training.dataset import SampleArrays
from models.training.train import TrainingConfig, overlap_loss, train_classifier


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


@pytest.mark.usefixtures("eagerly")
def test_training_stops_early_and_keeps_the_best_weights(blobs: SampleArrays) -> None:
    confused = SampleArrays(blobs.pixels, blobs.lesions, (blobs.labels + 1) % 3)
    config = TrainingConfig(epochs=8, size_px=64, batch_size=12, learning_rate=3e-3, patience=1,
                            backbone=None)  # fmt: skip

    trained = train_classifier(blobs, config, validation=confused)

    assert len(trained.losses) == len(trained.validation_losses) < 8
    one_hot = np.eye(3)[confused.labels]
    counts = np.bincount(confused.labels)
    logits = trained.network(confused.pixels[..., None].astype(np.float32), training=False)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    assert set(counts) == {4}
    assert float(loss(one_hot, logits)) == pytest.approx(min(trained.validation_losses), abs=1e-3)
