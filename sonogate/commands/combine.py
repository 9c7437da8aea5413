"""`sonogate combine`: several trainings averaged into one preset."""

from pathlib import Path

import click

from models.training.dataset import read_samples
from sonogate import logs
from sonogate.settings import FrontDoorSettings
from sonogate.tensorflow_log import without_chatter
from sonogate.training_options import FOLDER, OUT, member_of, require_extra


@click.command()
@click.argument("trainings", nargs=-1, required=True, metavar="TRAINING...")
@click.option("--data", required=True, type=FOLDER)
@click.option("--out", required=True, type=OUT)
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(min=2),
    help="As in the trainings.",
)
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option("--target-accuracy", default=0.95, show_default=True, type=click.FloatRange(0, 1))
def command(
    trainings: tuple[str, ...],
    data: Path,
    out: Path,
    folds: int,
    name: str,
    preset_version: str,
    target_accuracy: float,
) -> None:
    """Average what several runs of `sonogate train` left on the same DATA.

    Each fold is scored by the mean of the networks that have not seen it. The preset in OUT/preset
    averages the networks trained on everything, or, of a TRAINING written as DIR@FOLD, the one that
    spared that fold. OUT/report.html draws the figures.
    """
    logs.configure(FrontDoorSettings.load())
    require_extra()
    members = [member_of(each) for each in trainings]
    recipe = members[0].recipe
    with without_chatter():
        from models.assessment.training_report import write_training_report
        from models.training.card import write_card
        from models.training.combine import combine
        from models.training.cross_validation import PRESET
        from models.training.splits import split
        from models.training.start import Start
        from models.training.summary import table
    found = read_samples(data, folds=folds, classes=recipe.classes)
    samples = split(found, folds=folds, seed=recipe.training.seed)
    preset = combine(
        members, samples, out,
        start=Start(words=" ".join(dict.fromkeys(member.start for member in members))),
        name=name, version=preset_version, target_accuracy=target_accuracy,
    )  # fmt: skip
    origin = f"The folder `{data.name}`; whoever trained knows its origin and license."
    write_card(out / PRESET, preset, data=origin)
    click.echo("\n".join(table(recipe, preset.trained)))
    page = write_training_report(out, recipe, preset.trained, samples, data=data.name, leaks=False)
    click.echo(f"The preset is in {out / PRESET}; its figures are drawn in {page}.")
