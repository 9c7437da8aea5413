"""`sonogate routes`."""

from pathlib import Path

import click

from db.routes import DestinationTable, load_routes
from sonogate.settings import CliSettings
from workers.destinations.registry import check_destination, describe_address
from workers.results.selection import find_named_profile, select_results


@click.group()
def command() -> None:
    """Check the routes file, which lists senders, destinations and routes."""


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
def check(file: Path | None) -> None:
    """Check a routes file and print what it configures.

    FILE defaults to the routes file of the settings.
    """
    path = file or CliSettings.load().effective_routes_file
    routes = load_routes(path, check_destination)
    if not path.exists():
        click.echo(f"{path} does not exist: only this machine may send, and no results are sent.")
    for source in routes.source:
        sender = "any AE title" if source.ae_title == "*" else source.ae_title
        click.echo(
            f"source       {sender} from {', '.join(map(str, source.addresses))};"
            f" a study is stable after {source.stable_after_seconds:g} s"
        )
    for destination in routes.destination:
        click.echo(
            f"destination  {destination.name}: {describe_address(destination)};"
            f" {_describe_results(destination)}"
        )
    for route in routes.route:
        click.echo(
            f"route        {route.name}: from {', '.join(route.source_ae) or 'any sender'}"
            f" to {', '.join(route.destinations)}"
        )
    if not routes.route:
        click.echo("No routes: no results are sent.")


def _describe_results(table: DestinationTable) -> str:
    results = f"results {', '.join(map(str, select_results(table)))}"
    profile = find_named_profile(table)
    return f"profile {profile.name}, which is {results}" if profile else results
