"""`sonogate indexer`."""

import click
from sqlalchemy.exc import OperationalError

from db.settings import StoreSettings
from listener.index_service import run
from sonogate import logs
from sonogate.database import open_current_database
from sonogate.settings import CliSettings


@click.command()
def command() -> None:
    """Run the indexer.

    It makes the database rows of the files that the listener received. One indexer works at a time;
    a second one waits as standby. While the database is away, files wait.
    """
    logs.configure(CliSettings.load())
    settings = StoreSettings.load()
    try:
        with open_current_database(settings):
            pass
    except OperationalError:
        click.echo("The database is not available yet.", err=True)
    run(settings)
