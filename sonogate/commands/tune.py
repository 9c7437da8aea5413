"""`sonogate tune`: better numbers for a recipe."""

from pathlib import Path
from typing import Literal

import click

from models.training.dataset import read_samples
from sonogate import logs
from sonogate.settings import FrontDoorSettings
from sonogate.tensorflow_log import without_chatter
from sonogate.training_options import (
    FOLDER,
    IMAGENET,
    OUT,
    Backbone,
    EpochBars,
    quieten_for_bars,
    recipe_with,
    require_extra,
    start_from,
)


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--data", required=True, type=FOLDER)
@click.option("--out", required=True, type=OUT, help="Where trials are kept.")
@click.option("--trials", default=10, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--search", type=click.Choice(["random", "bayesian"]), default="random", show_default=True
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=3))
@click.option("--fold", default=0, show_default=True, help="Leave this fold out of everything.")
@click.option("--backbone", type=Backbone(), default=IMAGENET, show_default=True)
@click.option("--magnification", default=40, show_default=True, help="Of BreakHis images.")
@click.option("--epochs", type=click.IntRange(min=1), help="Of a trial; default: the recipe's.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
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
    """Try the values that RECIPE declares under [tune], and write the best as a recipe.

    Every trial is trained and judged without the fold left out, so that `sonogate train` can
    report on it. A search that was interrupted goes on with the trials that are missing.
    """
    logs.configure(FrontDoorSettings.load())
    quieten_for_bars()
    require_extra()
    recipe = recipe_with(recipe_name, epochs=epochs, seed=seed)
    with without_chatter():
        from models.training.recipe_file import write_recipe
        from models.training.splits import split
        from models.training.tune import tune
    found = read_samples(data, folds=folds, classes=recipe.classes, magnification=magnification)
    samples = split(found, folds=folds, seed=recipe.training.seed)
    start = start_from(recipe, backbone)
    tuned = tune(
        recipe, start, samples, out,
        trials=trials, search=search, held_out=fold, watch=EpochBars(),
    )  # fmt: skip
    # Trials may have been shorter; the recipe keeps its own length and seed.
    kept = recipe_with(recipe_name, epochs=None, seed=None)
    for key, value in tuned.values.items():
        click.echo(f"{key} = {value}")
        kept = kept.with_value(key, value)
    file = out / f"{recipe.name}-tuned.toml"
    write_recipe(file, kept)
    click.echo(f"{tuned.objective} {tuned.score:.3f} on the images tuned on; the recipe is {file}.")
