"""`sonogate setup`."""

import click

from sonogate.database import create_first_admin, prepare_installation
from sonogate.settings import CliSettings


@click.command()
def command() -> None:
    """Create or upgrade the database and create the first administrator.

    Prints the administrator's one-time password. It is not shown again. It is safe to run this
    command more than once. `sonogate up` and `sonogate demo` do the same at startup.
    """
    settings = CliSettings.load()
    prepare_installation(settings)
    click.echo("Database schema is up to date.")
    if password := create_first_admin(settings):
        click.echo(f"First login: admin, one-time password {password}")
