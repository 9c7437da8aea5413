"""`sonogate evaluate`: figures of a preset."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dicom.terms.classification import CLASSES
from models.evaluation import evaluate
from models.predictor import Predictor
from models.preset import DEFAULT_PRESET, read_preset
from models.training.dataset import Sample, cases, read_data_set
from models.training.identity import seen_groups
from models.types import DatasetError
from sonogate.tensorflow_log import without_chatter
from sonogate.training_options import require_extra


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--preset", type=click.Path(path_type=Path, exists=True), help="Default: shipped.")
@click.option("--fold", type=int, help="Only this fold of DATA, none of which was trained on.")
@click.option(
    "--unseen",
    is_flag=True,
    help="Leave out what the preset was trained on, and near-duplicates of it.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write report.html and report.json there: intervals, plots, mistakes, checks.",
)
@click.option("--quick", is_flag=True, help="With --out: leave out what predicts many times.")
def command(
    data: Path,
    preset: Path | None,
    fold: int | None,
    unseen: bool,
    out: Path | None,
    quick: bool,
) -> None:
    """Score a preset on DATA, laid out as for `sonogate train`, and print JSON.

    Images that the preset was trained on, or near-duplicates of them, flatter it; how many of these
    there are is told, unless the preset is of a version that kept no account of them.
    """
    if quick and out is None:
        raise click.UsageError("--quick is for reports: name a folder with --out")
    samples, seen = _chosen(data, preset, fold, unseen=unseen)
    click.echo(f"{len(samples)} images: {_told(seen)}.", err=True)
    if out is not None:
        name = data.name if fold is None else f"{data.name}, fold {fold}"
        _report(preset, samples, seen, f"{name} ({_told(seen)})", out, quick=quick)
        return
    with without_chatter():
        predictor = Predictor.load(preset)
    scored = evaluate(predictor, cases(samples)).to_dict()
    told = {"preset": asdict(predictor.info), "images_trained_on": seen, **scored}
    click.echo(json.dumps(told, indent=2))


def _chosen(
    data: Path, preset: Path | None, fold: int | None, *, unseen: bool
) -> tuple[list[Sample], int | None]:
    """What is to be scored, and of how much of it the preset saw the like; None: nobody knows."""
    listed = read_data_set(data, classes=CLASSES)
    for notice in listed.notices():
        click.echo(notice, err=True)
    found = listed.samples
    groups = seen_groups(read_preset(preset or DEFAULT_PRESET).trained, found)
    samples = [x for x in found if fold in (None, x.fold)]
    if not samples:
        raise DatasetError(f"fold {fold} of {data.name} holds no image")
    if groups is None and unseen:
        raise DatasetError("this preset does not tell what it was trained on: leave out --unseen")
    if groups is None:
        return samples, None
    if unseen:
        samples = [x for x in samples if x.duplicate_group not in groups]
    seen = sum(x.duplicate_group in groups for x in samples)
    if not samples:
        raise DatasetError(f"the preset was trained on all of {data.name}: nothing is unseen")
    if fold is not None and seen:
        raise DatasetError(
            f"{seen} of {len(samples)} images of fold {fold}, or near-duplicates of them, were"
            f" trained on: the preset's training parted {data.name} otherwise; --unseen leaves them out"
        )
    return samples, seen


def _told(seen: int | None) -> str:
    if seen is None:
        return "it is unknown which of them the preset was trained on"
    if not seen:
        return "the preset was trained on none of them"
    return f"the preset was trained on {seen} of them, or near-duplicates, which flatter it"


def _report(
    preset: Path | None,
    samples: Sequence[Sample],
    seen: int | None,
    data: str,
    out: Path,
    *,
    quick: bool,
) -> None:
    require_extra()
    with without_chatter():
        from models.assessment.report import assess, write
    figures, page = assess(preset, samples, data=data, quick=quick)
    write(out, {**figures, "images_trained_on": seen}, page)
    click.echo(f"The report is in {out / 'report.html'}")
