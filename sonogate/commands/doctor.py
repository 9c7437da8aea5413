"""`sonogate doctor`."""

import json
from dataclasses import asdict

import click

from sonogate.doctor.result import Status
from sonogate.doctor.run import CHECKS, run_checks

COLORS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


@click.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(CHECKS)),
    metavar="CHECK",
    help=f"Run only this check; may be repeated. Checks: {', '.join(CHECKS)}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(only: tuple[str, ...], as_json: bool) -> None:
    """Check the installation and print remedies.

    Checks settings, database, jobs, clock, disk, presets, Redis, listener, indexer, web interface,
    routes file and destinations.

    Exits with 1 if a check fails. With --only, a warning also counts as a failure, so that a check
    can serve as the health check of one service.
    """
    results = []
    for name, result in run_checks(only):
        results.append((name, result))
        if as_json:
            continue
        status = click.style(f"{result.status:<5}", fg=COLORS[result.status])
        click.echo(f"{status}{name:<13} {result.message}")
        if result.remedy:
            click.echo(f"{'':18} {result.remedy}")
    if as_json:
        rows = [{"check": name, **asdict(result)} for name, result in results]
        click.echo(json.dumps(rows, indent=2))
    accepted = {Status.OK} if only else {Status.OK, Status.WARN}
    if any(result.status not in accepted for _, result in results):
        raise click.exceptions.Exit(1)
