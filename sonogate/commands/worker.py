"""`sonogate worker`: one service by itself."""

import click

from sonogate import logs
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings
from workers.main import run
from workers.settings import WorkerSettings


@click.command()
def command() -> None:
    """Run a worker: analysis, result objects, delivery. Run as many as you like."""
    logs.configure(FrontDoorSettings.load())
    settings = WorkerSettings.load()
    with migrated(settings):
        pass
    run(settings)
