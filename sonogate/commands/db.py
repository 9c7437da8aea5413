"""`sonogate db`."""

import click

from db import migrate
from sonogate.database import open_current_database, open_database
from sonogate.settings import CliSettings


@click.group()
def command() -> None:
    """Upgrade or check the database schema."""


@command.command()
def upgrade() -> None:
    """Create the tables, or upgrade them to this version's schema.

    Back up the database first.
    """
    with open_database(CliSettings.load()) as database:
        migrate.upgrade(database.engine)
    click.echo("Database schema is up to date.")


@command.command()
def check() -> None:
    """Check that the database has this version's schema.

    Exits with 1 if the schema is out of date or if tables were changed by hand.
    """
    with open_current_database(CliSettings.load()) as database:
        differences = migrate.find_drift(database.engine)
    for difference in differences:
        click.echo(str(difference), err=True)
    if differences:
        raise click.exceptions.Exit(1)
    click.echo("Database schema is up to date.")
