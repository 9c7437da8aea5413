"""What `sonogate train` and `sonogate tune` share: their options, and a bar for each epoch."""

import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from models.recipe import Recipe, read_recipe
from models.types import DatasetError
from sonogate.errors import FrontDoorError

if TYPE_CHECKING:
    from models.training.combine import Member
    from models.training.start import Start
    from models.training.train import Epoch, Step

EXTRA = ("sklearn", "matplotlib", "keras_tuner", "tensorboard")
IMAGENET, RANDOM = "imagenet", "random"
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
OUT = click.Path(path_type=Path, file_okay=False)


class ExtraMissing(FrontDoorError):
    """Packages that services do without, and training does not."""

    def __init__(self, packages: list[str]) -> None:
        super().__init__(
            f"{', '.join(packages)} not installed: training needs the extra `sonogate[train]`"
        )
        self.packages = packages


class Backbone(click.ParamType[str]):
    """``imagenet``, ``random``, or a file of weights that is there."""

    name = "imagenet|random|FILE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in (IMAGENET, RANDOM) and not Path(value).is_file():
            self.fail(f"{value!r} is not a file", param, ctx)
        return value


def require_extra(packages: tuple[str, ...] = EXTRA) -> None:
    """Raise `ExtraMissing` before hours are spent."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtraMissing(missing)


def recipe_with(name: str, *, epochs: int | None, seed: int | None) -> Recipe:
    """Read a recipe, its epochs and seed replaced where given. Raises `RecipeInvalid`."""
    recipe = read_recipe(name)
    if epochs is not None:
        recipe = recipe.with_value("training.epochs", epochs)
    return recipe if seed is None else recipe.with_value("training.seed", seed)


def member_of(text: str) -> "Member":
    """Read DIR or DIR@FOLD, what `sonogate train` left, for `sonogate combine`.

    Raises `DatasetError` when no finished training of a joint recipe is there, or one whose split
    leaked.
    """
    from models.training.combine import Member
    from models.training.summary import SUMMARY

    folder, _, fold = text.partition("@")
    file = Path(folder) / SUMMARY
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate({"summary": "", **told["recipe"]})
        shipped = int(fold) if fold else None
        leaks, member = told["leaks"], Member(recipe, Path(folder), shipped, told["start"])
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{text!r} is no finished training: {SUMMARY} there is wanted"
        ) from error
    if leaks:
        raise DatasetError(
            f"{text!r} was split at random: its networks saw near-duplicates of what they are to be"
            " scored on; only trainings by the grouped protocol can be combined"
        )
    return member


def start_from(recipe: Recipe, backbone: str) -> "Start":
    """Settle the starting weights, and say what they are. Loads TensorFlow."""
    from models.training.start import find_start

    asked = {IMAGENET: IMAGENET, RANDOM: None}.get(backbone, Path(backbone))
    start = find_start(recipe, asked)  # type: ignore[arg-type]  # a str that is "imagenet"
    click.echo(f"Starting weights: {start.words}", err=True)
    return start


class EpochBars:
    """Draws a bar for each epoch on a terminal; elsewhere the log tells the losses."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown = sys.stderr.isatty()

    def __call__(self, title: str, done: "Step | Epoch") -> None:
        """Take what `models.training.cross_validation.Watch` is called with."""
        if not self._shown:
            return
        batch = getattr(done, "batch", 0)  # an epoch that is over has none
        if batch == 1:
            self._bar = _bar(title, done)
        if batch:
            self._bar.update(1, f"loss {done.loss:.4f}")
        else:
            self._bar.render_finish()
            click.echo(_told(title, done), err=True)


def quieten_for_bars() -> None:
    """Keep the log's line for each epoch from a terminal that shows bars."""
    if sys.stderr.isatty():
        logging.getLogger("models.training.train").setLevel(logging.WARNING)


def _told(title: str, epoch: Any) -> str:
    aside = epoch.validation_loss
    more = "" if aside is None else f", on images set aside {aside:.4f}"
    return f"{title}, epoch {epoch.epoch}: loss {epoch.loss:.4f}{more}"


def _bar(title: str, step: Any) -> Any:
    bar = click.progressbar(
        length=step.batches,
        label=f"{title}, epoch {step.epoch}/{step.epochs}",
        item_show_func=lambda shown: shown or "",
        file=sys.stderr,
    )
    bar.render_progress()
    return bar
