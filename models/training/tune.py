"""Trying the values that a recipe declares, judged on images that no figure is reported on.

Importing this module loads TensorFlow and Keras Tuner.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FatalError

from models.recipe import Recipe, RecipeInvalid
from models.training.cross_validation import Plan, Watch, cross_validate
from models.training.dataset import Sample
from models.training.identity import digest_of
from models.training.outcomes import figures, named_figures
from models.training.start import Start
from models.types import DatasetError

Search = Literal["random", "bayesian"]


@dataclass(frozen=True)
class Tuned:
    """The best values found, by dotted key, the recipe with them, and what they scored."""

    recipe: Recipe
    values: dict[str, float | int | str]
    objective: str
    score: float


def objective_of(recipe: Recipe) -> str:
    """The figure that a recipe is tuned for."""
    return "dice" if recipe.network.kind == "segmenter" else "macro_roc_auc"


def inner_folds(samples: Sequence[Sample], held_out: int) -> tuple[list[Sample], int]:
    """Leave out ``held_out``, which is for figures; return the rest and its fold to tune on."""
    folds = sorted({sample.fold for sample in samples})
    inner = [fold for fold in folds if fold != held_out]
    if held_out not in folds or len(inner) < 2:
        raise DatasetError(
            "tuning needs three folds or more: to report on, to tune on, to train on"
        )
    after = [fold for fold in inner if fold > held_out]
    return [x for x in samples if x.fold != held_out], (after or inner)[0]


def tune(
    recipe: Recipe,
    start: Start,
    samples: Sequence[Sample],
    directory: Path,
    *,
    trials: int = 10,
    search: Search = "random",
    held_out: int = 0,
    watch: Watch | None = None,
) -> Tuned:
    """Try combinations of ``recipe.tune``; trials that are in ``directory`` are not done again.

    Those are of the same search only: by recipe and values to try, starting weights, images and
    folds. Each is trained without fold ``held_out`` and without the fold after it, and scored on the
    latter. Raises `RecipeInvalid` for a recipe that declares nothing to try.
    """
    if not recipe.tune:
        raise RecipeInvalid(f"recipe {recipe.name}: tune: declares nothing to try")
    rest, inner = inner_folds(samples, held_out)

    def score(changed: Recipe, home: Path) -> float:
        checked = cross_validate(Plan(changed, start, rest, home, watch), [inner])
        found = named_figures(figures(checked.folds[inner], changed.classes)).get(
            objective_of(recipe)
        )
        if found is None:
            raise DatasetError(f"fold {inner} has too few images for {objective_of(recipe)}")
        return found

    plan = Plan(recipe, start, samples, directory)
    identity = digest_of([plan.parts, {**recipe.tune}, search, held_out])
    tuner = _tuner(recipe, score, directory / f"trials-{identity[:16]}", trials, search)
    try:
        tuner.search(verbose=0)
    except FatalError as error:
        raise error.__cause__ or error from None
    best = tuner.oracle.get_best_trials(1)[0]
    values = dict(best.hyperparameters.values)
    return Tuned(_changed(recipe, values), values, objective_of(recipe), float(best.score))


class _RecipeTuner(BaseTuner):  # type: ignore[misc]  # keras_tuner ships no types
    def __init__(
        self, recipe: Recipe, score: Callable[[Recipe, Path], float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._recipe, self._score = recipe, score

    def run_trial(self, trial: Any, **_: object) -> dict[str, float]:
        changed = _changed(self._recipe, trial.hyperparameters.values)
        home = Path(self.get_trial_dir(trial.trial_id))
        try:
            return {objective_of(self._recipe): self._score(changed, home)}
        except Exception as error:
            # Otherwise Keras Tuner swallows it and tries the next combination.
            raise FatalError(str(error)) from error


def _tuner(
    recipe: Recipe,
    score: Callable[[Recipe, Path], float],
    directory: Path,
    trials: int,
    search: Search,
) -> _RecipeTuner:
    kinds = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }
    oracle = kinds[search](
        objective=keras_tuner.Objective(objective_of(recipe), "max"),
        max_trials=trials,
        hyperparameters=_space(recipe),
        seed=recipe.training.seed,
    )
    return _RecipeTuner(
        recipe, score, oracle=oracle, directory=directory.parent, project_name=directory.name
    )


def _space(recipe: Recipe) -> Any:
    space = keras_tuner.HyperParameters()
    for key, values in recipe.tune.items():
        mixed = any(isinstance(x, float) for x in values)
        space.Choice(key, [float(x) if mixed else x for x in values])
    return space


def _changed(recipe: Recipe, values: dict[str, float | int | str]) -> Recipe:
    for key, value in values.items():
        recipe = recipe.with_value(key, value)
    return recipe
