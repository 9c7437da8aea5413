"""`sonogate combine`: several trainings averaged into one preset."""

from pathlib import Path

import click

from models.training.dataset import read_samples
from sonogate import logs
from sonogate.quiet import without_chatter
from sonogate.settings import FrontDoorSettings
from sonogate.training import FOLDER, OUT, member_of, require_extra


@click.command()
@click.argument("trainings", nargs=-1, required=True, metavar="TRAINING...")
@click.option("--data", required=True, type=FOLDER)
@click.option("--out", required=True, type=OUT)
@click.option("--name", default="own", show_default=True, help="Name of the preset.")
@click.option("--preset-version", default="1", show_default=True, help="Version of the preset.")
@click.option("--target-accuracy", default=0.95, show_default=True, type=click.FloatRange(0, 1))
def command(
    trainings: tuple[str, ...],
    data: Path,
    out: Path,
    name: str,
    preset_version: str,
    target_accuracy: float,
) -> None:
    """Average what several runs of `sonogate train` left on the same DATA.

    Each fold is scored by the mean of the networks that have not seen it. The preset in OUT/preset
    averages the networks trained on everything, or, of a TRAINING written as DIR@FOLD, the one that
    spared that fold.
    """
    logs.configure(FrontDoorSettings.load())
    require_extra()
    samples = read_samples(data)
    members = [member_of(each) for each in trainings]
    with without_chatter():
        from models.training.card import write_card
        from models.training.combine import combine
        from models.training.cross_validation import PRESET
        from models.training.start import Start
        from models.training.summary import table
    preset = combine(
        members, samples, out,
        start=Start(words="As of the trainings averaged."),
        name=name, version=preset_version, target_accuracy=target_accuracy,
    )  # fmt: skip
    origin = f"The folder `{data.name}`; whoever trained knows its origin and licence."
    write_card(out / PRESET, preset, data=origin)
    click.echo("\n".join(table(members[0].recipe, preset.trained)))
    click.echo(f"The preset is in {out / PRESET}.")
