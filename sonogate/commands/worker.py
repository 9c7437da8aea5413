"""`sonogate worker`."""

import click

from sonogate import logs
from sonogate.database import open_current_database
from sonogate.decoding import limit_decoding
from sonogate.settings import CliSettings
from workers.main import run
from workers.settings import WorkerSettings


@click.command()
def command() -> None:
    """Run a worker.

    It analyzes studies, creates result objects and sends them to destinations. Run any number of
    workers, on any machine that reaches the database, Redis and the files.
    """
    logs.configure(CliSettings.load())
    settings = WorkerSettings.load()
    limit_decoding(settings)
    with open_current_database(settings):
        pass
    run(settings)
