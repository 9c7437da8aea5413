"""`sonogate setup`: make an installation ready for its services."""

import click

from sonogate.database import first_password, prepare
from sonogate.settings import FrontDoorSettings


@click.command()
def command() -> None:
    """Upgrade the database and create the first administrator.

    Prints that one's one-time password, once. Safe to run again: then nothing happens.
    `sonogate up` and `sonogate demo` do this by themselves.
    """
    settings = FrontDoorSettings.load()
    prepare(settings)
    click.echo("The database is at this version's schema.")
    if password := first_password(settings):
        click.echo(f"First login: admin, one-time password {password}")
