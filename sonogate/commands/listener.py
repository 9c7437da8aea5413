"""`sonogate listener`."""

import click

from listener.main import run
from listener.settings import ListenerSettings
from sonogate import logs
from sonogate.database import open_current_database
from sonogate.settings import CliSettings


@click.command()
def command() -> None:
    """Run the DICOM listener.

    It accepts C-STORE and C-ECHO from the senders in the routes file.
    """
    logs.configure(CliSettings.load())
    settings = ListenerSettings.load()
    with open_current_database(settings):
        pass
    run(settings)
