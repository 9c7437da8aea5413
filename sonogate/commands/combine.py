"""`sonogate combine`."""

from pathlib import Path

import click

from models.data.dataset import read_samples
from sonogate import logs
from sonogate.settings import CliSettings
from sonogate.tensorflow_log import suppress_native_stderr
from sonogate.training.options import (
    FOLDER,
    OUT,
    data_origin,
    load_training,
    require_training_extra,
)


@click.command()
@click.argument("trainings", nargs=-1, required=True, metavar="TRAINING...")
@click.option("--data", required=True, type=FOLDER, help="Data of the trainings.")
@click.option("--out", required=True, type=OUT, help="Output directory.")
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(min=2),
    help="Number of folds of the trainings.",
)
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option(
    "--target-accuracy",
    default=0.95,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Accuracy that decided images must reach; sets the preset's threshold.",
)
def command(
    trainings: tuple[str, ...],
    data: Path,
    out: Path,
    folds: int,
    name: str,
    preset_version: str,
    target_accuracy: float,
) -> None:
    """Average several trainings into one preset.

    Each TRAINING is the output directory of `sonogate train`, or DIRECTORY@FOLD to use the network
    that held out that fold instead of the one trained on all images. All trainings must use the
    same data and folds.

    Writes the preset to OUT/preset and its figures to OUT/report.html. Each held-out fold is
    scored by the mean of the networks that were not trained on it.
    """
    logs.configure(CliSettings.load())
    require_training_extra()
    members = [load_training(training) for training in trainings]
    recipe = members[0].recipe
    with suppress_native_stderr():
        from models.data.splits import assign_folds
        from models.reports.training_report import write_training_report
        from models.training.cross_validation import PRESET
        from models.training.ensemble import build_ensemble
        from models.training.initial_weights import InitialWeights
        from models.training.model_card import write_card
        from models.training.summary import format_table
    samples = read_samples(data, folds=folds, classes=recipe.classes)
    samples = assign_folds(samples, folds=folds, seed=recipe.training.seed)
    origins = dict.fromkeys(member.initial_weights for member in members)
    preset = build_ensemble(
        members, samples, out,
        initial_weights=InitialWeights(description=" ".join(origins)),
        name=name, version=preset_version, target_accuracy=target_accuracy,
    )  # fmt: skip
    write_card(out / PRESET, preset, data=data_origin(data))
    click.echo("\n".join(format_table(recipe, preset.trained)))
    page = write_training_report(out, recipe, preset.trained, samples, data=data.name, leaks=False)
    click.echo(f"Wrote the preset to {out / PRESET} and its figures to {page}")
