from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Sample, SampleArrays
from models.evaluation.metrics import Overlap
from models.recipe import Recipe, RecipeInvalid
from models.training.cross_validation import CrossValidation, TrainingRun
from models.training.held_out import HeldOutResult
from models.training.initial_weights import InitialWeights
from models.training.train import BatchProgress, EpochProgress
from models.training.tune import choose_tuning_fold, tune
from models.types import DatasetError

Small = Callable[..., Recipe]

pytestmark = [
    pytest.mark.usefixtures("eager_execution"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
    # Keras Tuner 1.4 calls deprecated methods of threading.
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:keras_tuner\..*"),
]


@pytest.fixture
def samples(blobs: SampleArrays, tmp_path: Path) -> list[Sample]:
    """The blobs as files, in four folds with an image per class; fold 0 cannot be read."""
    samples = []
    for row, label in enumerate(blobs.labels):
        image, mask = tmp_path / f"{row}.png", tmp_path / f"{row}_mask.png"
        Image.fromarray(blobs.pixels[row]).save(image)
        Image.fromarray(blobs.lesions[row].astype(np.uint8) * 255).save(mask)
        if row < 3:
            image.write_bytes(b"unreadable")
        samples.append(Sample(image, int(label), (mask,), row, row // 3))
    return samples


def test_a_search_leaves_out_the_held_out_fold_and_can_be_resumed(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    recipe = small("segmenter").model_copy(
        update={"tune": {"training.learning_rate": (1e-5, 1e-2), "training.seed": (0, 1)}}
    )
    steps: list[BatchProgress | EpochProgress] = []

    def search(trials: int) -> float:
        def on_progress(_: str, progress: BatchProgress | EpochProgress) -> None:
            steps.append(progress)

        tuned = tune(
            recipe,
            InitialWeights(),
            samples,
            tmp_path / "out",
            trials=trials,
            on_progress=on_progress,
        )
        assert tuned.values.keys() == recipe.tune.keys()
        assert tuned.recipe.training.learning_rate == tuned.values["training.learning_rate"]
        assert tuned.objective == "dice"
        return tuned.score

    first, count = search(2), len(steps)
    again = search(2)

    assert 0 <= first == again <= 1
    assert count == len(steps) == 4, "two trials of one batch and one epoch, each run once"


def test_a_search_with_other_settings_reuses_no_trials(
    samples: list[Sample], small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[Recipe] = []

    def scored(run: TrainingRun, folds: list[int]) -> CrossValidation:
        recipes.append(run.recipe)
        said = HeldOutResult("x.png", 0, 1, (), Overlap(2, 2, 1))
        return CrossValidation({folds[0]: [said]})

    monkeypatch.setattr("models.training.tune.cross_validate", scored)
    recipe = small("segmenter").model_copy(update={"tune": {"training.seed": (0, 1)}})
    wider = recipe.model_copy(update={"tune": {"training.seed": (7, 8)}})
    longer = recipe.with_value("training.epochs", 2)
    relabeled = [*samples[:-1], replace(samples[-1], label=0)]
    searches = [
        (recipe, samples, {}),
        (wider, samples, {}),
        (longer, samples, {}),
        (recipe, relabeled, {}),
        (recipe, samples, {"held_out": 1}),
        (recipe, samples, {"search": "bayesian"}),
    ]
    for number, (tried, images, more) in enumerate(searches, 1):
        for _ in range(2):
            tune(tried, InitialWeights(), images, tmp_path / "out", trials=1, **more)  # type: ignore[arg-type]
        assert len(recipes) == number, "a search has its own trial, which is not repeated"

    assert recipes[1].training.seed in (7, 8)
    assert recipes[2].training.epochs == 2


def test_trials_are_scored_on_a_fold_of_their_own(samples: list[Sample]) -> None:
    rest, inner = choose_tuning_fold(samples, held_out=0)
    assert inner == 1
    assert {x.fold for x in rest} == {1, 2, 3}
    assert choose_tuning_fold(samples, held_out=3)[1] == 0


def test_tuning_needs_three_folds(samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="at least three folds"):
        choose_tuning_fold([x for x in samples if x.fold < 2], held_out=0)


def test_an_error_in_a_trial_is_raised(samples: list[Sample], small: Small, tmp_path: Path) -> None:
    recipe = small("segmenter").model_copy(update={"tune": {"training.seed": (0, 1)}})

    with pytest.raises(DatasetError, match=r"0\.png cannot be read"):
        tune(recipe, InitialWeights(), samples, tmp_path / "out", trials=1, held_out=3)


def test_a_recipe_without_values_to_try_cannot_be_tuned(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    with pytest.raises(RecipeInvalid, match="lists no values to try"):
        tune(small("segmenter"), InitialWeights(), samples, tmp_path)
