"""`sonogate dataset`."""

import json
from pathlib import Path

import click

from models.data.dataset import read_dataset
from sonogate.commands import dataset_export
from sonogate.training.options import FOLDER, MAGNIFICATION_HELP, require_training_extra


@click.group()
def command() -> None:
    """Inspect training data, or export it from signed reviews."""


command.add_command(dataset_export.command)


@command.command()
@click.argument("data", type=FOLDER)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML report."
)
@click.option("--magnification", default=40, show_default=True, help=MAGNIFICATION_HELP)
def inspect(data: Path, out: Path | None, magnification: int) -> None:
    """Print statistics of training data as JSON.

    DATA is laid out as for `sonogate train`. The statistics cover classes, image sizes,
    near-duplicates, thin bright marks such as calipers, and the images that training excludes
    because their labels contradict each other. The HTML report adds histograms, box plots, the
    largest groups of duplicates and the contradicting images.
    """
    require_training_extra()
    from models.reports.dataset_report import (
        measure_images,
        render_dataset_report,
        summarize_dataset,
    )

    data_set = read_dataset(data, magnification=magnification)
    for notice in data_set.notices():
        click.echo(notice, err=True)
    images = list(measure_images(data_set.samples))
    click.echo(json.dumps(summarize_dataset(data_set, images), indent=2))
    if out is not None:
        out.write_text(render_dataset_report(data_set, images, name=data.name), encoding="utf-8")
        click.echo(f"Wrote {out}", err=True)
