"""`sonogate evaluate`: figures of a preset."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from models.evaluation import evaluate
from models.predictor import Predictor
from models.training.dataset import cases, read_samples
from models.types import DatasetError
from sonogate.quiet import without_chatter
from sonogate.training import require_extra


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--preset", type=click.Path(path_type=Path, exists=True), help="Default: shipped.")
@click.option("--fold", type=int, help="Only the images of this fold.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write report.html and report.json there: intervals, plots, mistakes, checks.",
)
@click.option("--quick", is_flag=True, help="With --out: leave out what predicts many times.")
def command(
    data: Path, preset: Path | None, fold: int | None, out: Path | None, quick: bool
) -> None:
    """Score a preset on DATA, laid out as for `sonogate train`, and print JSON.

    Images that the preset was trained on flatter it; the shipped preset's card says which.
    """
    samples = [each for each in read_samples(data) if fold in (None, each.fold)]
    if not samples:
        raise DatasetError(f"fold {fold} of {data.name} holds no image")
    if quick and out is None:
        raise click.UsageError("--quick is for reports: name a folder with --out")
    if out is not None:
        require_extra()
        with without_chatter():
            from models.assessment.report import assess, write
        name = data.name if fold is None else f"{data.name}, fold {fold}"
        figures, page = assess(preset, samples, data=name, quick=quick)
        write(out, figures, page)
        click.echo(f"The report is in {out / 'report.html'}")
        return
    with without_chatter():
        predictor = Predictor.load(preset)
    scored = evaluate(predictor, cases(samples)).to_dict()
    click.echo(json.dumps({"preset": asdict(predictor.info), **scored}, indent=2))
