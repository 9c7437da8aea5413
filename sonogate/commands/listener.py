"""`sonogate listener`: one service by itself."""

import click

from listener.main import run
from listener.settings import ListenerSettings
from sonogate import logs
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings


@click.command()
def command() -> None:
    """Run the DICOM listener: C-STORE and C-ECHO from the senders that the routes file lists."""
    logs.configure(FrontDoorSettings.load())
    settings = ListenerSettings.load()
    with migrated(settings):
        pass
    run(settings)
