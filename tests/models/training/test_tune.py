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
    pytest.mark.usefixtures("eagerly"),
    pytest.mark.filterwarnings(
        # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    ),
    # Keras Tuner 1.4 asks for its thread in the old way.
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:keras_tuner\..*"),
]


@pytest.fixture
def samples(blobs: SampleArrays, tmp_path: Path) -> list[Sample]:
    """The blobs as files, in four folds of one image a class; those of fold 0 cannot be read."""
    made = []
    for row, label in enumerate(blobs.labels):
        image, mask = tmp_path / f"{row}.png", tmp_path / f"{row}_mask.png"
        Image.fromarray(blobs.pixels[row]).save(image)
        Image.fromarray(blobs.lesions[row].astype(np.uint8) * 255).save(mask)
        if row < 3:
            image.write_bytes(b"not to be touched")
        made.append(Sample(image, int(label), (mask,), row, row // 3))
    return made


def test_a_search_tries_values_away_from_the_fold_held_out_and_can_go_on(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    recipe = small("segmenter").model_copy(
        update={"tune": {"training.learning_rate": (1e-5, 1e-2), "training.seed": (0, 1)}}
    )
    seen: list[BatchProgress | EpochProgress] = []

    def search(trials: int) -> float:
        def watch(_: str, done: BatchProgress | EpochProgress) -> None:
            seen.append(done)

        tuned = tune(
            recipe, InitialWeights(), samples, tmp_path / "out", trials=trials, on_progress=watch
        )
        assert tuned.values.keys() == recipe.tune.keys()
        assert tuned.recipe.training.learning_rate == tuned.values["training.learning_rate"]
        assert tuned.objective == "dice"
        return tuned.score

    first, steps = search(2), len(seen)
    again = search(2)

    assert 0 <= first == again <= 1
    assert steps == len(seen) == 4, "two trials, one batch and one epoch each, not done twice"


def test_a_search_by_other_settings_takes_up_no_trial_of_this_one(
    samples: list[Sample], small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Recipe] = []

    def scored(run: TrainingRun, folds: list[int]) -> CrossValidation:
        done.append(run.recipe)
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
        assert len(done) == number, "one trial of its own, and none when it is done again"

    assert done[1].training.seed in (7, 8)
    assert done[2].training.epochs == 2


def test_the_fold_tuned_on_is_neither_held_out_nor_trained_on(samples: list[Sample]) -> None:
    rest, inner = choose_tuning_fold(samples, held_out=0)
    assert inner == 1
    assert {x.fold for x in rest} == {1, 2, 3}
    assert choose_tuning_fold(samples, held_out=3)[1] == 0


def test_two_folds_are_too_few(samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match="at least three folds"):
        choose_tuning_fold([x for x in samples if x.fold < 2], held_out=0)


def test_what_goes_wrong_in_a_trial_is_told(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    recipe = small("segmenter").model_copy(update={"tune": {"training.seed": (0, 1)}})

    with pytest.raises(DatasetError, match=r"0\.png cannot be read"):
        tune(recipe, InitialWeights(), samples, tmp_path / "out", trials=1, held_out=3)


def test_a_recipe_that_declares_nothing_cannot_be_tuned(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    with pytest.raises(RecipeInvalid, match="lists no values to try"):
        tune(small("segmenter"), InitialWeights(), samples, tmp_path)
