"""`sonogate train`: what a recipe gives on your data, and a preset of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from models.recipe import Recipe
from models.training.dataset import Sample, read_samples
from models.types import DatasetError
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

if TYPE_CHECKING:
    from models.training.cross_validation import CrossValidation, Plan


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--data", required=True, type=FOLDER)
@click.option("--out", type=OUT, help="Default: training/RECIPE under SONOGATE_HOME.")
@click.option("--overwrite", is_flag=True, help="Remove another training from --out first.")
@click.option(
    "--protocol",
    type=click.Choice(["grouped", "random"]),
    default="grouped",
    show_default=True,
    help="random splits near-duplicates apart, as published works do: it leaks.",
)
@click.option("--folds", default=5, show_default=True, type=click.IntRange(min=2))
@click.option("--fold", "only", multiple=True, type=int, help="Hold out this fold only.")
@click.option(
    "--backbone",
    type=Backbone(),
    default=IMAGENET,
    show_default=True,
    help="Starting weights: imagenet is downloaded; random where it cannot be.",
)
@click.option("--magnification", default=40, show_default=True, help="Of BreakHis images.")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option(
    "--target-accuracy",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="How often asserted classes shall be right; sets the abstention threshold.",
)
def command(
    recipe_name: str,
    data: Path,
    out: Path | None,
    overwrite: bool,
    protocol: Literal["grouped", "random"],
    folds: int,
    only: tuple[int, ...],
    backbone: str,
    magnification: int,
    epochs: int | None,
    seed: int | None,
    name: str,
    preset_version: str,
    target_accuracy: float,
) -> None:
    """Train RECIPE, one that comes with Sonogate or a .toml file of yours, on --data.

    DATA holds the folders normal, benign and malignant: PNG, JPEG or BMP, masks beside them as
    "NAME_mask.png"; or a manifest.csv that lists images and classes; or BreakHis. Near-duplicates
    that no list names are found. Each fold is held out once and scored. A recipe for class and outline in one network (default)
    is then trained on everything: OUT/preset is a preset with its card. OUT also keeps each fold's
    network and outcomes, summary.json, report.html, which draws them, and logs for TensorBoard. A run that was interrupted goes
    on where it was, by the same command; one with other settings, images or starting weights needs
    another OUT, or --overwrite. Hours on a CPU.
    """
    settings = FrontDoorSettings.load()
    logs.configure(settings)
    quieten_for_bars()
    require_extra()
    recipe = recipe_with(recipe_name, epochs=epochs, seed=seed)
    samples = _split(data, recipe, protocol, folds, only, magnification)
    out = out or settings.home / "training" / recipe.name
    with without_chatter():
        from models.training.cross_validation import Plan, cross_validate
    plan = Plan(recipe, start_from(recipe, backbone), samples, out, EpochBars(), overwrite)
    checked = cross_validate(plan, only or None)
    _report(plan, checked, data, protocol=protocol, asked=backbone, target=target_accuracy)
    if recipe.network.kind == "joint" and protocol == "grouped":
        _ship(plan, checked, data, name=name, version=preset_version, target=target_accuracy)


def _split(
    data: Path,
    recipe: Recipe,
    protocol: Literal["grouped", "random"],
    folds: int,
    only: tuple[int, ...],
    magnification: int,
) -> list[Sample]:
    from models.training.splits import LEAKS, split

    if protocol == "random":
        click.echo(LEAKS, err=True)
    seed = recipe.training.seed
    found = read_samples(data, folds=folds, classes=recipe.classes, magnification=magnification)
    samples = split(found, protocol=protocol, folds=folds, seed=seed)
    for fold in set(only) - {x.fold for x in samples}:
        raise DatasetError(f"fold {fold} of {data.name} holds no image")
    return samples


def _report(
    plan: "Plan",
    checked: "CrossValidation",
    data: Path,
    *,
    protocol: str,
    asked: str,
    target: float,
) -> None:
    from models.assessment.training_report import write_training_report
    from models.training.cross_validation import facts
    from models.training.splits import LEAKS
    from models.training.summary import table, write_summary

    told: dict[str, Any] = facts(
        plan.recipe, checked, plan.samples, start=plan.start, target_accuracy=target
    )
    file = write_summary(
        plan.directory, plan.recipe, told, protocol=protocol, asked_start=Path(asked).name
    )
    page = write_training_report(
        plan.directory,
        plan.recipe,
        told,
        plan.samples,
        data=data.name,
        leaks=protocol == "random",
    )
    click.echo("\n".join(table(plan.recipe, told)))
    if protocol == "random":
        click.echo(LEAKS)
    click.echo(f"Figures of each fold are in {file}, and drawn in {page}.")


def _ship(
    plan: "Plan", checked: "CrossValidation", data: Path, *, name: str, version: str, target: float
) -> None:
    from models.training.card import write_card
    from models.training.cross_validation import PRESET, describe_preset, make_preset

    described = describe_preset(
        plan.recipe,
        checked,
        plan.samples,
        start=plan.start,
        name=name,
        version=version,
        target_accuracy=target,
    )
    home = plan.directory / PRESET
    preset = make_preset(plan, described)
    origin = f"The folder `{data.name}`; whoever trained knows its origin and license."
    write_card(home, preset, data=origin)
    click.echo(f"The preset is in {home}; SONOGATE_PRESET_DIR={home.absolute()} puts it to work.")
