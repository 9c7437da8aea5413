"""`sonogate train`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.data.dataset import read_samples
from models.data.splits import LEAKAGE_WARNING, Protocol, assign_folds
from models.types import DatasetError
from sonogate import logs
from sonogate.settings import CliSettings
from sonogate.tensorflow_log import suppress_native_stderr
from sonogate.training.options import (
    FOLDER,
    IMAGENET,
    MAGNIFICATION_HELP,
    OUT,
    BackboneParam,
    data_origin,
    load_recipe,
    require_training_extra,
    resolve_backbone,
)
from sonogate.training.progress_bars import EpochProgressBars, hide_epoch_log_lines

if TYPE_CHECKING:
    from models.training.cross_validation import CrossValidation, TrainingRun


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--data", required=True, type=FOLDER, help="Training data.")
@click.option(
    "--out", type=OUT, help="Output directory. Default: training/RECIPE in SONOGATE_HOME."
)
@click.option("--overwrite", is_flag=True, help="Replace another training in the output directory.")
@click.option(
    "--protocol",
    type=click.Choice(["grouped", "random"]),
    default="grouped",
    show_default=True,
    help="How to split folds: grouped keeps near-duplicates together; random separates them,"
    " as in published work, and therefore leaks.",
)
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(min=2),
    help="Number of cross-validation folds.",
)
@click.option(
    "--fold", "only", multiple=True, type=int, help="Hold out only this fold; may be repeated."
)
@click.option(
    "--backbone",
    type=BackboneParam(),
    default=IMAGENET,
    show_default=True,
    help="Initial weights. ImageNet weights are downloaded; if that fails, they are random.",
)
@click.option("--magnification", default=40, show_default=True, help=MAGNIFICATION_HELP)
@click.option("--epochs", type=click.IntRange(min=1), help="Override the recipe's epochs.")
@click.option("--seed", type=int, help="Override the recipe's seed.")
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option(
    "--target-accuracy",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Accuracy that decided images must reach; sets the preset's threshold.",
)
def command(
    recipe_name: str,
    data: Path,
    out: Path | None,
    overwrite: bool,
    protocol: Protocol,
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
    """Train a recipe and score it by cross-validation.

    RECIPE is the name of a shipped recipe or a .toml file.

    The training data is one of: a directory with the folders normal, benign and malignant, which
    contain PNG, JPEG or BMP images and their masks as NAME_mask.png; a directory with a
    manifest.csv; or BreakHis. Near-duplicate images are detected.

    Each fold is held out once and scored. For a joint recipe, which predicts class and outline, a
    network is then trained on all images and written to OUT/preset with its model card. OUT also
    contains the networks and predictions of each fold, summary.json, report.html and TensorBoard
    logs.

    Run the same command again to resume an interrupted training. Other settings, images or
    initial weights require another --out, or --overwrite. Training takes hours on a CPU.
    """
    settings = CliSettings.load()
    logs.configure(settings)
    hide_epoch_log_lines()
    require_training_extra()
    recipe = load_recipe(recipe_name, epochs=epochs, seed=seed)
    samples = read_samples(data, folds=folds, classes=recipe.classes, magnification=magnification)
    if protocol == "random":
        click.echo(LEAKAGE_WARNING, err=True)
    samples = assign_folds(samples, protocol=protocol, folds=folds, seed=recipe.training.seed)
    for fold in set(only) - {sample.fold for sample in samples}:
        raise DatasetError(f"fold {fold} of {data.name} has no images")
    out = out or settings.home / "training" / recipe.name
    with suppress_native_stderr():
        from models.training.cross_validation import TrainingRun, cross_validate
    weights = resolve_backbone(recipe, backbone)
    run = TrainingRun(recipe, weights, samples, out, EpochProgressBars(), overwrite)
    validation = cross_validate(run, only or None)
    _write_report(
        run, validation, data, protocol=protocol, backbone=backbone, target=target_accuracy
    )
    if recipe.network.kind == "joint" and protocol == "grouped":
        _write_preset(
            run, validation, data, name=name, version=preset_version, target=target_accuracy
        )


def _write_report(
    run: "TrainingRun",
    validation: "CrossValidation",
    data: Path,
    *,
    protocol: Protocol,
    backbone: str,
    target: float,
) -> None:
    from models.reports.training_report import write_training_report
    from models.training.cross_validation import collect_results
    from models.training.summary import format_table, write_summary

    leaks = protocol == "random"
    figures = collect_results(
        run.recipe,
        validation,
        run.samples,
        initial_weights=run.initial_weights,
        target_accuracy=target,
    )
    file = write_summary(
        run.directory,
        run.recipe,
        figures,
        protocol=protocol,
        requested_weights=Path(backbone).name,
    )
    page = write_training_report(
        run.directory, run.recipe, figures, run.samples, data=data.name, leaks=leaks
    )
    click.echo("\n".join(format_table(run.recipe, figures)))
    if leaks:
        click.echo(LEAKAGE_WARNING)
    click.echo(f"Wrote {file} and {page}")


def _write_preset(
    run: "TrainingRun",
    validation: "CrossValidation",
    data: Path,
    *,
    name: str,
    version: str,
    target: float,
) -> None:
    from models.training.cross_validation import PRESET, describe_preset, train_preset
    from models.training.model_card import write_card

    description = describe_preset(
        run.recipe,
        validation,
        run.samples,
        initial_weights=run.initial_weights,
        name=name,
        version=version,
        target_accuracy=target,
    )
    directory = run.directory / PRESET
    preset = train_preset(run, description)
    write_card(directory, preset, data=data_origin(data))
    click.echo(f"Wrote the preset to {directory}")
    click.echo(f"To use it, set SONOGATE_PRESET_DIR={directory.absolute()}")
