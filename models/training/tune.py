"""Hyperparameter search over the values that a recipe lists under ``[tune]``.

Importing this module loads TensorFlow and Keras Tuner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FatalError

from models.data.dataset import Sample
from models.data.digests import digest_values
from models.recipe import Recipe, RecipeInvalid
from models.training.cross_validation import RunProgressCallback, TrainingRun, cross_validate
from models.training.held_out import compute_metrics, flatten_metrics
from models.training.initial_weights import InitialWeights
from models.types import DatasetError

Search = Literal["random", "bayesian"]


@dataclass(frozen=True)
class TuningResult:
    """The best values by dotted key, the recipe with these values, and their score."""

    recipe: Recipe
    values: dict[str, float | int | str]
    objective: str
    score: float


def objective_name(recipe: Recipe) -> str:
    """Return the metric to maximize."""
    return "dice" if recipe.network.kind == "segmenter" else "macro_roc_auc"


def choose_tuning_fold(samples: Sequence[Sample], held_out: int) -> tuple[list[Sample], int]:
    """Return the samples without the fold ``held_out``, and the fold to score trials on.

    Raises:
        DatasetError: there are fewer than three folds.
    """
    folds = sorted({sample.fold for sample in samples})
    remaining = [fold for fold in folds if fold != held_out]
    if held_out not in folds or len(remaining) < 2:
        raise DatasetError(
            "tuning needs at least three folds: one held out, one to score trials, one to train on"
        )
    after = [fold for fold in remaining if fold > held_out]
    return [x for x in samples if x.fold != held_out], (after or remaining)[0]


def tune(
    recipe: Recipe,
    initial_weights: InitialWeights,
    samples: Sequence[Sample],
    directory: Path,
    *,
    trials: int = 10,
    search: Search = "random",
    held_out: int = 0,
    on_progress: RunProgressCallback | None = None,
) -> TuningResult:
    """Search the values of ``recipe.tune``.

    Trials are trained without the fold ``held_out`` and scored on the fold after it. Finished
    trials in ``directory`` are reused if recipe, values, initial weights, images, folds and search
    are the same.

    Raises:
        RecipeInvalid: the recipe lists no values to try.
        DatasetError: there are fewer than three folds, or too few images to compute the objective.
    """
    if not recipe.tune:
        raise RecipeInvalid(f"recipe {recipe.name}: tune: lists no values to try")
    objective = objective_name(recipe)
    remaining, fold = choose_tuning_fold(samples, held_out)

    def score_trial(changed: Recipe, home: Path) -> float:
        run = TrainingRun(changed, initial_weights, remaining, home, on_progress)
        results = cross_validate(run, [fold]).folds[fold]
        score = flatten_metrics(compute_metrics(results, changed.classes)).get(objective)
        if score is None:
            raise DatasetError(f"fold {fold} has too few images to compute {objective}")
        return score

    digests = TrainingRun(recipe, initial_weights, samples, directory).digests
    identity = digest_values([digests, {**recipe.tune}, search, held_out])
    oracles = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }
    oracle = oracles[search](
        objective=keras_tuner.Objective(objective, "max"),
        max_trials=trials,
        hyperparameters=_search_space(recipe),
        seed=recipe.training.seed,
    )
    tuner = _RecipeTuner(
        recipe,
        score_trial,
        oracle=oracle,
        directory=directory,
        project_name=f"trials-{identity[:16]}",
    )
    try:
        tuner.search(verbose=0)
    except FatalError as error:
        raise error.__cause__ or error from None
    best = tuner.oracle.get_best_trials(1)[0]
    values = dict(best.hyperparameters.values)
    return TuningResult(_with_values(recipe, values), values, objective, float(best.score))


class _RecipeTuner(BaseTuner):  # type: ignore[misc]  # keras_tuner ships no types
    def __init__(
        self, recipe: Recipe, score_trial: Callable[[Recipe, Path], float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._recipe, self._score_trial = recipe, score_trial

    def run_trial(self, trial: Any, **_: object) -> dict[str, float]:
        changed = _with_values(self._recipe, trial.hyperparameters.values)
        home = Path(self.get_trial_dir(trial.trial_id))
        try:
            return {objective_name(self._recipe): self._score_trial(changed, home)}
        except Exception as error:
            # Keras Tuner ignores other exceptions and continues with the next trial.
            raise FatalError(str(error)) from error


def _search_space(recipe: Recipe) -> Any:
    space = keras_tuner.HyperParameters()
    for key, values in recipe.tune.items():
        mixed = any(isinstance(x, float) for x in values)
        space.Choice(key, [float(x) if mixed else x for x in values])
    return space


def _with_values(recipe: Recipe, values: dict[str, float | int | str]) -> Recipe:
    for key, value in values.items():
        recipe = recipe.with_value(key, value)
    return recipe
