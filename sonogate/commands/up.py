"""`sonogate up`."""

from functools import partial

import click

from sonogate import logs
from sonogate.database import create_first_admin
from sonogate.services.up import LaunchPlan, RunningServices, run_services


@click.command()
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of worker processes.",
)
def command(workers: int) -> None:
    """Run all services on this machine until Ctrl-C.

    Starts the listener, the indexer, the workers, the web interface and a bundled Redis server, and restarts a
    service that exits. Creates or upgrades the database first. If SONOGATE_REDIS_URL is set, that
    server is used instead of the bundled one.
    """
    plan = LaunchPlan.load()
    logs.configure(plan.installation.cli)
    try:
        with run_services(plan, workers=workers, notify=partial(click.echo, err=True)) as services:
            _print_access(services)
            services.supervisor.run_forever()
    except KeyboardInterrupt:
        click.echo("Stopped.")


def _print_access(services: RunningServices) -> None:
    """Print where the services are, and the first administrator's password on the first run."""
    settings, listener = services.installation.cli, services.installation.listener
    click.echo(f"Web interface  {services.url}")
    click.echo(f"Listener       {listener.ae_title} at {listener.dicom_host}:{listener.dicom_port}")
    click.echo(f"Data           {settings.home} (logs in {settings.home / 'logs'})")
    if password := create_first_admin(settings):
        click.echo(f"Login          admin, one-time password {password}")
    click.echo("Research software, not a medical device. Press Ctrl-C to stop.")
