"""`sonogate listener`."""

import click

from listener.main import run
from listener.settings import ListenerSettings
from sonogate import logs
from sonogate.settings import CliSettings


@click.command()
def command() -> None:
    """Run the DICOM listener.

    It accepts C-STORE and C-ECHO from the senders in the routes file. It needs no database to
    receive; `sonogate indexer` makes the rows of what it received.
    """
    logs.configure(CliSettings.load())
    run(ListenerSettings.load())
