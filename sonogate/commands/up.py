"""`sonogate up`: every service of one installation."""

import click

from sonogate import logs
from sonogate.database import first_password
from sonogate.services.up import Plan, Up, started


@click.command()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1))
def command(workers: int) -> None:
    """Run listener, workers, web and a bundled Redis, and keep them running until Ctrl-C.

    State and logs live under ./var or SONOGATE_HOME. The database is upgraded first. With
    SONOGATE_REDIS_URL set, that Redis is used instead of the bundled one.
    """
    plan = Plan.make()
    logs.configure(plan.installation.front)
    try:
        with started(plan, workers=workers, say=lambda line: click.echo(line, err=True)) as up:
            _greet(up)
            up.supervisor.watch()
    except KeyboardInterrupt:
        click.echo("Stopped.")


def _greet(up: Up) -> None:
    listener = up.installation.listener
    click.echo(f"Worklist   {up.url}")
    click.echo(f"Listener   {listener.ae_title} at {listener.dicom_host}:{listener.dicom_port}")
    click.echo(f"State      {up.installation.front.home} (logs in logs/)")
    if password := first_password(up.installation.front):
        click.echo(f"Login      admin, one-time password {password}")
    click.echo("Research software, not a medical device. Ctrl-C stops it.")
