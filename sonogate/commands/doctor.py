"""`sonogate doctor`: what is wrong here, and what to do."""

import json
from dataclasses import asdict

import click

from sonogate import doctor
from sonogate.doctor import Finding, Status

COLORS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(doctor.CHECKS)), metavar="CHECK")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def command(only: tuple[str, ...], as_json: bool) -> None:
    """Check settings, database, Redis, disk, presets, services, routes and destinations.

    Exits with 1 when something fails. Checks named by --only (settings, database, jobs, clock,
    disk, presets, redis, listener, web, routes, destinations; may be repeated) must be well: there
    a warning counts as a failure too, which makes it a health check for one service.
    """
    findings = []
    for finding in doctor.examine(only):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    well = {Status.OK} if only else {Status.OK, Status.WARN}
    if any(finding.status not in well for finding in findings):
        raise click.exceptions.Exit(1)


def _print(finding: Finding) -> None:
    mark = click.style(f"{finding.status:<5}", fg=COLORS[finding.status])
    click.echo(f"{mark}{finding.name:<13} {finding.message}")
    if finding.remedy:
        click.echo(f"{'':18} {finding.remedy}")
