"""Options that the training commands share, and what they load."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.recipe import Recipe, read_recipe
from models.types import DatasetError
from sonogate.errors import CommandError

if TYPE_CHECKING:
    from models.training.ensemble import EnsembleMember
    from models.training.initial_weights import InitialWeights

PACKAGES = ("sklearn", "matplotlib", "keras_tuner", "tensorboard")
"""Packages of the extra `sonogate[train]`."""
IMAGENET, RANDOM = "imagenet", "random"
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
OUT = click.Path(path_type=Path, file_okay=False)
MAGNIFICATION_HELP = "Magnification of the images, for BreakHis only."


class TrainingExtraMissing(CommandError):
    """Raised when packages of the extra `sonogate[train]` are missing."""

    def __init__(self, packages: list[str]) -> None:
        super().__init__(
            f"{', '.join(packages)} not installed: install the extra `sonogate[train]`"
        )
        self.packages = packages


class BackboneParam(click.ParamType[str]):
    """``imagenet``, ``random``, or an existing file of weights."""

    name = "imagenet|random|FILE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value if it is a keyword or an existing file."""
        if value not in (IMAGENET, RANDOM) and not Path(value).is_file():
            self.fail(f"{value!r} is not a file", param, ctx)
        return value


def require_training_extra(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raise TrainingExtraMissing before a long computation starts."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainingExtraMissing(missing)


def load_recipe(name: str, *, epochs: int | None, seed: int | None) -> Recipe:
    """Load a recipe and replace its epochs and seed where given.

    Raises:
        RecipeInvalid: There is no such recipe, or it has errors.
    """
    recipe = read_recipe(name)
    if epochs is not None:
        recipe = recipe.with_value("training.epochs", epochs)
    return recipe if seed is None else recipe.with_value("training.seed", seed)


def load_training(text: str) -> "EnsembleMember":
    """Load the training in DIR, for `sonogate combine`. DIR@FOLD selects the network of a fold.

    Raises:
        DatasetError: DIR has no finished training of a joint recipe, or its folds leak.
    """
    from models.training.ensemble import EnsembleMember
    from models.training.summary import SUMMARY

    folder, _, fold = text.partition("@")
    file = Path(folder) / SUMMARY
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate({"summary": "", **summary["recipe"]})
        leaks, weights = summary["leaks"], summary["initial_weights"]
        selected_fold = int(fold) if fold else None
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{text!r} is not a finished training: {SUMMARY} is missing or invalid"
        ) from error
    if leaks:
        raise DatasetError(
            f"{text!r} was trained with --protocol random: its networks were trained on"
            " near-duplicates of the images they are scored on. Combine only trainings with"
            " --protocol grouped"
        )
    return EnsembleMember(recipe, Path(folder), selected_fold, weights)


def resolve_backbone(recipe: Recipe, backbone: str) -> "InitialWeights":
    """Return the initial weights for `--backbone`, and print their origin. Loads TensorFlow."""
    from models.training.initial_weights import resolve_initial_weights

    requested = {IMAGENET: IMAGENET, RANDOM: None}.get(backbone, Path(backbone))
    weights = resolve_initial_weights(recipe, requested)  # type: ignore[arg-type]  # a str that is "imagenet"
    click.echo(f"Initial weights: {weights.description}", err=True)
    return weights


def data_origin(data: Path) -> str:
    """Return what the model card says about training data that is not public."""
    return f"The directory `{data.name}`. Its origin and license are known to those who trained."
