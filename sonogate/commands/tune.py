"""`sonogate tune`."""

from pathlib import Path
from typing import Literal

import click

from models.data.dataset import read_samples
from sonogate import logs
from sonogate.settings import CliSettings
from sonogate.tensorflow_log import suppress_native_stderr
from sonogate.training.options import (
    FOLDER,
    IMAGENET,
    MAGNIFICATION_HELP,
    OUT,
    BackboneParam,
    load_recipe,
    require_training_extra,
    resolve_backbone,
)
from sonogate.training.progress_bars import EpochProgressBars, hide_epoch_log_lines


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--data", required=True, type=FOLDER, help="Training data, as for `sonogate train`.")
@click.option("--out", required=True, type=OUT, help="Output directory.")
@click.option(
    "--trials",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of combinations to try.",
)
@click.option(
    "--search",
    type=click.Choice(["random", "bayesian"]),
    default="random",
    show_default=True,
    help="Search strategy.",
)
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(min=3),
    help="Number of folds to split the data into.",
)
@click.option("--fold", default=0, show_default=True, help="Fold that no trial uses.")
@click.option(
    "--backbone",
    type=BackboneParam(),
    default=IMAGENET,
    show_default=True,
    help="Initial weights.",
)
@click.option("--magnification", default=40, show_default=True, help=MAGNIFICATION_HELP)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Epochs of a trial. Default: the recipe's."
)
@click.option("--seed", type=int, help="Override the recipe's seed.")
def command(
    recipe_name: str,
    data: Path,
    out: Path,
    trials: int,
    search: Literal["random", "bayesian"],
    folds: int,
    fold: int,
    backbone: str,
    magnification: int,
    epochs: int | None,
    seed: int | None,
) -> None:
    """Search hyperparameters of a recipe.

    Tries the values that RECIPE declares under [tune] and writes a recipe with the best of them to
    the output directory. No trial is trained or scored on the fold given by --fold, so that
    `sonogate train` can hold it out.

    Run the same command again to resume an interrupted search.
    """
    logs.configure(CliSettings.load())
    hide_epoch_log_lines()
    require_training_extra()
    recipe = load_recipe(recipe_name, epochs=epochs, seed=seed)
    with suppress_native_stderr():
        from models.data.splits import assign_folds
        from models.training.recipe_file import write_recipe
        from models.training.tune import tune
    samples = read_samples(data, folds=folds, classes=recipe.classes, magnification=magnification)
    samples = assign_folds(samples, folds=folds, seed=recipe.training.seed)
    weights = resolve_backbone(recipe, backbone)
    tuned = tune(
        recipe, weights, samples, out,
        trials=trials, search=search, held_out=fold, on_progress=EpochProgressBars(),
    )  # fmt: skip
    # --epochs and --seed apply to trials only
    tuned_recipe = load_recipe(recipe_name, epochs=None, seed=None)
    for key, value in tuned.values.items():
        click.echo(f"{key} = {value}")
        tuned_recipe = tuned_recipe.with_value(key, value)
    file = out / f"{recipe.name}-tuned.toml"
    write_recipe(file, tuned_recipe)
    click.echo(f"Best {tuned.objective}: {tuned.score:.3f} on the images used for tuning")
    click.echo(f"Wrote {file}")
