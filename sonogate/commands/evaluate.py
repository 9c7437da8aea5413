"""`sonogate evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dicom.terms.classification import CLASSES
from models.data.dataset import Sample, read_dataset
from models.data.digests import find_training_groups
from models.evaluation.evaluate import evaluate, read_cases
from models.predictor import Predictor
from models.preset import DEFAULT_PRESET, read_preset
from models.types import DatasetError
from sonogate.tensorflow_log import suppress_native_stderr
from sonogate.training.options import require_training_extra


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--preset",
    type=click.Path(path_type=Path, exists=True),
    help="Preset directory. Default: the shipped preset.",
)
@click.option(
    "--fold",
    type=int,
    help="Evaluate only this fold of DATA. Fails if the preset was trained on any of its images.",
)
@click.option(
    "--unseen",
    is_flag=True,
    help="Exclude images that the preset was trained on, and near-duplicates of them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write report.html and report.json to this directory.",
)
@click.option("--quick", is_flag=True, help="With --out: skip the checks that repeat inference.")
def command(
    data: Path,
    preset: Path | None,
    fold: int | None,
    unseen: bool,
    out: Path | None,
    quick: bool,
) -> None:
    """Evaluate a preset on labeled images and print the figures as JSON.

    DATA is laid out as for `sonogate train`. Figures on images that the preset was trained on, or
    on near-duplicates of them, are too good. The command reports how many of these DATA contains,
    unless the preset does not record its training images.

    The report (--out) has confidence intervals, plots, misclassified images, and checks of
    robustness and of the heat maps.
    """
    if quick and out is None:
        raise click.UsageError("--quick requires --out")
    data_set = read_dataset(data, classes=CLASSES)
    for notice in data_set.notices():
        click.echo(notice, err=True)
    samples = [sample for sample in data_set.samples if fold in (None, sample.fold)]
    if not samples:
        raise DatasetError(f"fold {fold} of {data.name} has no images")
    trained_on = find_training_groups(
        read_preset(preset or DEFAULT_PRESET).trained, data_set.samples
    )
    if unseen:
        if trained_on is None:
            raise DatasetError(
                "the preset does not record its training images: --unseen cannot be used with it"
            )
        samples = [sample for sample in samples if sample.duplicate_group not in trained_on]
        if not samples:
            raise DatasetError(f"the preset was trained on all images of {data.name}")
    seen = None
    if trained_on is not None:
        seen = sum(sample.duplicate_group in trained_on for sample in samples)
    if fold is not None and seen:
        raise DatasetError(
            f"the preset was trained on {seen} of {len(samples)} images of fold {fold}, or on"
            f" near-duplicates of them: its training split {data.name} differently. Use --unseen"
            " to exclude these images"
        )
    click.echo(f"{len(samples)} images: {_seen_text(seen)}.", err=True)
    if out is not None:
        name = data.name if fold is None else f"{data.name}, fold {fold}"
        _write_report(preset, samples, seen, f"{name} ({_seen_text(seen)})", out, quick=quick)
        return
    with suppress_native_stderr():
        predictor = Predictor.load(preset)
    figures = evaluate(predictor, read_cases(samples)).to_dict()
    document = {"preset": asdict(predictor.info), "images_trained_on": seen, **figures}
    click.echo(json.dumps(document, indent=2))


def _seen_text(seen: int | None) -> str:
    if seen is None:
        return "the preset does not record which of them it was trained on"
    if not seen:
        return "the preset was trained on none of them"
    return (
        f"the preset was trained on {seen} of them or on near-duplicates, so that the figures are"
        " too good"
    )


def _write_report(
    preset: Path | None,
    samples: Sequence[Sample],
    seen: int | None,
    data: str,
    out: Path,
    *,
    quick: bool,
) -> None:
    require_training_extra()
    with suppress_native_stderr():
        from models.reports.preset_report import evaluate_preset, write_preset_report
    figures, page = evaluate_preset(preset, samples, data=data, quick=quick)
    write_preset_report(out, {**figures, "images_trained_on": seen}, page)
    click.echo(f"Wrote {out / 'report.html'}")
