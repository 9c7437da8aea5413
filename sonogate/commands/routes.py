"""`sonogate routes`: the file that says who may send and where results go."""

from pathlib import Path

import click

from db.routes import Routes, load_routes
from dicom.results.catalogue import parse_spec
from sonogate.settings import FrontDoorSettings


@click.group()
def command() -> None:
    """The routes file: who may send, and where results go."""


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
def check(file: Path | None) -> None:
    """Check FILE (default: the one in the settings) and say what it means."""
    path = file or FrontDoorSettings.load().effective_routes_file
    routes = load_routes(path, parse_spec)
    if not path.exists():
        click.echo(f"{path} does not exist: this machine alone may send, and no result leaves.")
    for line in _lines(routes):
        click.echo(line)


def _lines(routes: Routes) -> list[str]:
    sources = [
        f"source       {'anyone' if entry.ae_title == '*' else entry.ae_title} from"
        f" {', '.join(map(str, entry.addresses))}, stable after {entry.stable_after_seconds:g} s"
        for entry in routes.source
    ]
    destinations = [
        f"destination  {entry.name}: {entry.ae_title} at {entry.host}:{entry.port},"
        f" wants {', '.join(entry.results)}"
        for entry in routes.destination
    ]
    ways = [
        f"route        {entry.name}: from {', '.join(entry.source_ae) or 'anyone'}"
        f" to {', '.join(entry.destinations)}"
        for entry in routes.route
    ]
    return sources + destinations + (ways or ["no route: every result stays here"])
