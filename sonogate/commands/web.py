"""`sonogate web`: one service by itself."""

import click

from sonogate import logs
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings
from webui.main import run
from webui.settings import WebSettings


@click.command()
def command() -> None:
    """Run the web pages: worklist, review, audit, administration."""
    logs.configure(FrontDoorSettings.load())
    settings = WebSettings.load()
    with migrated(settings):
        pass
    run(settings)
