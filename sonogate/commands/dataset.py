"""`sonogate dataset`: folders of labeled images, looked at, or made of what readers signed."""

import json
from pathlib import Path

import click

from models.training.dataset import read_data_set
from sonogate.commands import dataset_export
from sonogate.training_options import FOLDER, require_extra


@click.group()
def command() -> None:
    """Look at labeled images before training on them, or export what readers signed."""


command.add_command(dataset_export.command)


@command.command()
@click.argument("data", type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="An HTML page.")
@click.option("--magnification", default=40, show_default=True, help="Of BreakHis images.")
def inspect(data: Path, out: Path | None, magnification: int) -> None:
    """Count DATA's classes, sizes, near-duplicates and thin bright marks such as calipers; print JSON.

    DATA is laid out as for `sonogate train`. What is left out because labels contradict each other
    is listed. With --out, the same as a page with histograms, box plots, the largest groups of
    duplicates and the contradictions.
    """
    require_extra()
    from models.assessment.inspection import look, render, summary

    found = read_data_set(data, magnification=magnification)
    for notice in found.notices():
        click.echo(notice, err=True)
    seen = list(look(found.samples))
    click.echo(json.dumps(summary(found, seen), indent=2))
    if out is not None:
        out.write_text(render(found, seen, name=data.name), encoding="utf-8")
        click.echo(f"The page is {out}.", err=True)
