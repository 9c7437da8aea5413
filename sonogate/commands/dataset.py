"""`sonogate dataset`: what a folder of labelled images holds."""

import json
from pathlib import Path

import click

from models.training.dataset import read_samples
from sonogate.training import FOLDER, require_extra


@click.group()
def command() -> None:
    """Look at labelled images before training on them."""


@command.command()
@click.argument("data", type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="An HTML page.")
def inspect(data: Path, out: Path | None) -> None:
    """Count DATA's classes, sizes, near-duplicates and thin bright marks such as callipers; print JSON.

    With --out, the same as a page with histograms, box plots and the largest groups of duplicates.
    """
    require_extra()
    from models.assessment.inspection import look, render, summary

    seen = list(look(read_samples(data)))
    click.echo(json.dumps(summary(seen), indent=2))
    if out is not None:
        out.write_text(render(seen, data=data.name), encoding="utf-8")
        click.echo(f"The page is {out}.", err=True)
