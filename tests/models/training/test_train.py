from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.networks.backbone import build_backbone, settle_batch_norm
from models.recipe import Recipe, read_recipe
from models.training.checkpoint import FILE, Checkpoint
from models.training.dataset import SampleArrays
from models.training.start import find_start
from models.training.train import Epoch, Step, Trained, train

Small = Callable[..., Recipe]

pytestmark = [
    pytest.mark.usefixtures("eagerly"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
]


class PowerCut(Exception):
    """Whatever ends a training before its time."""


def cut_after(epochs: int) -> Callable[[Step | Epoch], None]:
    """End a training in the midst of the epoch that follows so many."""

    def watch(done: Step | Epoch) -> None:
        if isinstance(done, Step) and done.epoch > epochs:
            raise PowerCut

    return watch


def weights(trained: Trained) -> list[float]:
    return [float(x) for w in trained.network.get_weights() for x in np.ravel(w)]


def test_the_loss_falls(blobs: SampleArrays, small: Small) -> None:
    trained = train(blobs, small("segmenter", training__epochs=6))

    assert len(trained.losses) == 6
    assert trained.losses[-1] < trained.losses[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__weight_averaging": 0.8, "training__schedule": "cosine"},
        {"training__patience": 9, "training__schedule": "plateau", "training__learning_rate": 1e-8},
    ],
)
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    blobs: SampleArrays, small: Small, tmp_path: Path, changes: dict[str, float]
) -> None:
    recipe = small("segmenter", **{"training__epochs": 5, "training__batch_size": 4, **changes})
    aside = blobs if "training__patience" in changes else None
    checkpoint = Checkpoint(tmp_path, "this one")
    undisturbed = train(blobs, recipe, set_aside=aside)

    with pytest.raises(PowerCut):
        train(blobs, recipe, set_aside=aside, checkpoint=checkpoint, watch=cut_after(4))
    epochs: list[int] = []
    resumed = train(
        blobs, recipe, set_aside=aside, checkpoint=checkpoint,
        watch=lambda x: epochs.append(x.epoch) if isinstance(x, Epoch) else None,
    )  # fmt: skip

    assert epochs == [5], "four are not done again"
    assert resumed.losses == pytest.approx(undisturbed.losses, abs=1e-4)
    assert resumed.validation_losses == pytest.approx(undisturbed.validation_losses, abs=1e-4)
    assert weights(resumed) == pytest.approx(weights(undisturbed), abs=1e-3)


def test_another_training_s_checkpoint_is_left_alone(
    blobs: SampleArrays, small: Small, tmp_path: Path
) -> None:
    train(blobs, small("segmenter"), checkpoint=Checkpoint(tmp_path, "one"))

    trained = train(
        blobs, small("segmenter", training__epochs=2), checkpoint=Checkpoint(tmp_path, "other")
    )

    assert len(trained.losses) == 2


def test_a_broken_checkpoint_is_said_and_training_starts_anew(
    blobs: SampleArrays, small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"PK half a file")

    trained = train(blobs, small("segmenter"), checkpoint=Checkpoint(tmp_path, "one"))

    assert len(trained.losses) == 1
    assert "training starts anew" in caplog.text


def test_it_ends_early_with_the_best_epoch_s_weights(blobs: SampleArrays, small: Small) -> None:
    inverted = SampleArrays(blobs.pixels, ~blobs.lesions, blobs.labels)
    recipe = small("segmenter", training__epochs=9, training__patience=2)

    trained = train(blobs, recipe, set_aside=inverted)
    once = train(blobs, recipe.with_value("training.epochs", 1), set_aside=inverted)

    # What is learned makes the images set aside worse from the first epoch on.
    best = int(np.argmin(trained.validation_losses))
    assert len(trained.losses) == best + 3 < 9
    assert best == 0
    assert weights(trained) == pytest.approx(weights(once), abs=1e-4)


def test_on_a_plateau_the_rate_is_halved(blobs: SampleArrays, small: Small) -> None:
    inverted = SampleArrays(blobs.pixels, ~blobs.lesions, blobs.labels)
    recipe = small("segmenter", training__epochs=5, training__schedule="plateau")

    trained = train(blobs, recipe, set_aside=inverted)

    assert float(trained.network.optimizer.learning_rate) == pytest.approx(5e-3)


def test_a_classifier_learns_too_its_classes_weighed(blobs: SampleArrays, small: Small) -> None:
    rare = SampleArrays(blobs.pixels[:8], blobs.lesions[:8], blobs.labels[:8])
    recipe = small("classifier", training__epochs=3, training__balance="class-weights",
                   training__learning_rate=1e-3)  # fmt: skip

    trained = train(rare, recipe)

    assert trained.losses[-1] < trained.losses[0]


def test_half_precision_is_for_devices_that_gain_by_it(blobs: SampleArrays, small: Small) -> None:
    import keras

    network = train(blobs, small("segmenter", training__mixed_precision=True)).network

    gains = bool(keras.distribution.list_devices("gpu"))
    assert (network.get_layer("down_0_a").compute_dtype == "float16") == gains
    assert keras.config.dtype_policy().name == "float32"


def test_what_imagenet_taught_of_edges_stays(
    blobs: SampleArrays, small: Small, tmp_path: Path
) -> None:
    start = build_backbone(64)
    settle_batch_norm(start, np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("f4"))
    start.save_weights(tmp_path / "start.weights.h5")
    recipe = small("joint", network__frozen_to="block_2_add", training__backbone_share=0.1)

    encoder = train(blobs, recipe, tmp_path / "start.weights.h5").network.get_layer("encoder")

    def moved(name: str) -> bool:
        before, after = (x.get_layer(name).get_weights()[0] for x in (start, encoder))
        return bool(np.abs(before - after).max() > 0)

    assert not moved("Conv1")
    assert not moved("block_2_project")
    assert moved("block_5_project")


def test_a_network_without_encoder_starts_at_random() -> None:
    assert find_start(read_recipe("webapp-unet"), "imagenet").weights is None


def test_a_file_of_other_weights_is_an_error(small: Small, tmp_path: Path) -> None:
    from models.networks.encoders import StartUnavailable

    (tmp_path / "none.weights.h5").write_bytes(b"nothing")

    with pytest.raises(StartUnavailable, match=r"none\.weights\.h5 holds no weights"):
        find_start(small("classifier"), tmp_path / "none.weights.h5")
