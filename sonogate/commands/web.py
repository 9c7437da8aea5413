"""`sonogate web`."""

import click

from sonogate import logs
from sonogate.database import open_current_database
from sonogate.decoding import limit_decoding
from sonogate.settings import CliSettings
from webui.main import run
from webui.settings import WebSettings


@click.command()
def command() -> None:
    """Run the web interface: worklist, review, audit log and administration."""
    logs.configure(CliSettings.load())
    settings = WebSettings.load()
    limit_decoding(settings)
    with open_current_database(settings):
        pass
    run(settings)
