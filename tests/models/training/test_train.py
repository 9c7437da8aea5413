from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import SampleArrays
from models.networks.backbone import build_backbone, initialize_batch_norm
from models.recipe import Recipe, read_recipe
from models.training.checkpoint import FILE, Checkpoint
from models.training.initial_weights import resolve_initial_weights
from models.training.train import BatchProgress, EpochProgress, TrainedNetwork, train

Small = Callable[..., Recipe]

pytestmark = [
    pytest.mark.usefixtures("eager_execution"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
]


class Interruption(Exception):
    """Interrupts a training."""


def interrupt_after(epochs: int) -> Callable[[BatchProgress | EpochProgress], None]:
    """Interrupt a training during the epoch after ``epochs`` epochs."""

    def on_progress(progress: BatchProgress | EpochProgress) -> None:
        if isinstance(progress, BatchProgress) and progress.epoch > epochs:
            raise Interruption

    return on_progress


def weights(trained: TrainedNetwork) -> list[float]:
    return [float(x) for w in trained.network.get_weights() for x in np.ravel(w)]


def test_the_loss_falls(blobs: SampleArrays, small: Small) -> None:
    trained = train(blobs, small("segmenter", training__epochs=6))

    assert len(trained.losses) == 6
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__ema_momentum": 0.8, "training__schedule": "cosine"},
        {"training__patience": 9, "training__schedule": "plateau", "training__learning_rate": 1e-8},
    ],
)
def test_a_resumed_training_gives_the_same_network(
    blobs: SampleArrays, small: Small, tmp_path: Path, changes: dict[str, float]
) -> None:
    # The learning rate is reduced after three epochs, so that variant needs a fifth one.
    epochs = 5 if "training__patience" in changes else 3
    recipe = small(
        "segmenter", **{"training__epochs": epochs, "training__batch_size": 4, **changes}
    )
    validation_data = blobs if "training__patience" in changes else None
    checkpoint = Checkpoint(tmp_path, "this one")
    uninterrupted = train(blobs, recipe, validation_data=validation_data)

    with pytest.raises(Interruption):
        train(
            blobs,
            recipe,
            validation_data=validation_data,
            checkpoint=checkpoint,
            on_progress=interrupt_after(epochs - 1),
        )
    trained_epochs: list[int] = []
    resumed = train(
        blobs, recipe, validation_data=validation_data, checkpoint=checkpoint,
        on_progress=lambda x: trained_epochs.append(x.epoch) if isinstance(x, EpochProgress) else None,
    )  # fmt: skip

    assert trained_epochs == [epochs], "the others are not trained again"
    assert resumed.losses == pytest.approx(uninterrupted.losses, abs=1e-4)
    assert resumed.validation_losses == pytest.approx(uninterrupted.validation_losses, abs=1e-4)
    assert weights(resumed) == pytest.approx(weights(uninterrupted), abs=1e-3)


def test_the_checkpoint_of_another_training_is_ignored(
    blobs: SampleArrays, small: Small, tmp_path: Path
) -> None:
    train(blobs, small("segmenter"), checkpoint=Checkpoint(tmp_path, "one"))

    trained = train(
        blobs, small("segmenter", training__epochs=2), checkpoint=Checkpoint(tmp_path, "other")
    )

    assert len(trained.losses) == 2


def test_a_damaged_checkpoint_is_logged_and_ignored(
    blobs: SampleArrays, small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"PK half a file")

    trained = train(blobs, small("segmenter"), checkpoint=Checkpoint(tmp_path, "one"))

    assert len(trained.losses) == 1
    assert "training starts from the beginning" in caplog.text


def test_early_stopping_returns_the_weights_of_the_best_epoch(
    blobs: SampleArrays, small: Small
) -> None:
    inverted = SampleArrays(blobs.pixels, ~blobs.lesions, blobs.labels)
    recipe = small("segmenter", training__epochs=9, training__patience=2)

    trained = train(blobs, recipe, validation_data=inverted)
    once = train(blobs, recipe.with_value("training.epochs", 1), validation_data=inverted)

    # Training on the blobs raises the loss on inverted masks from the first epoch.
    best = int(np.argmin(trained.validation_losses))
    assert len(trained.losses) == best + 3 < 9
    assert best == 0
    assert weights(trained) == pytest.approx(weights(once), abs=1e-4)


def test_the_learning_rate_is_halved_on_a_plateau(blobs: SampleArrays, small: Small) -> None:
    inverted = SampleArrays(blobs.pixels, ~blobs.lesions, blobs.labels)
    recipe = small("segmenter", training__epochs=5, training__schedule="plateau")

    trained = train(blobs, recipe, validation_data=inverted)

    assert float(trained.network.optimizer.learning_rate) == pytest.approx(5e-3)


def test_a_classifier_learns_with_class_weights(blobs: SampleArrays, small: Small) -> None:
    rare = SampleArrays(blobs.pixels[:8], blobs.lesions[:8], blobs.labels[:8])
    recipe = small("classifier", training__epochs=3, training__balance="class-weights",
                   training__learning_rate=1e-3)  # fmt: skip

    trained = train(rare, recipe)

    assert trained.losses[-1] < trained.losses[0]


def test_mixed_precision_is_used_on_a_gpu_only(blobs: SampleArrays, small: Small) -> None:
    import keras

    network = train(blobs, small("segmenter", training__mixed_precision=True)).network

    gains = bool(keras.distribution.list_devices("gpu"))
    assert (network.get_layer("down_0_a").compute_dtype == "float16") == gains
    assert keras.config.dtype_policy().name == "float32"


def test_frozen_layers_keep_their_initial_weights(
    blobs: SampleArrays, small: Small, tmp_path: Path
) -> None:
    start = build_backbone(64)
    initialize_batch_norm(start, np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("f4"))
    start.save_weights(tmp_path / "start.weights.h5")
    recipe = small("joint", network__frozen_to="block_2_add", training__backbone_lr_multiplier=0.1)

    encoder = train(blobs, recipe, tmp_path / "start.weights.h5").network.get_layer("encoder")

    def moved(name: str) -> bool:
        before, after = (x.get_layer(name).get_weights()[0] for x in (start, encoder))
        return bool(np.abs(before - after).max() > 0)

    assert not moved("Conv1")
    assert not moved("block_2_project")
    assert moved("block_5_project")


def test_a_network_without_an_encoder_has_random_initial_weights() -> None:
    assert resolve_initial_weights(read_recipe("webapp-unet"), "imagenet").weights is None


def test_a_file_of_other_weights_is_an_error(small: Small, tmp_path: Path) -> None:
    from models.networks.encoders import WeightsUnavailable

    (tmp_path / "none.weights.h5").write_bytes(b"nothing")

    with pytest.raises(WeightsUnavailable, match=r"none\.weights\.h5 does not contain weights"):
        resolve_initial_weights(small("classifier"), tmp_path / "none.weights.h5")
