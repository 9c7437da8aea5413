"""`sonogate db`: the schema."""

import click

from db import migrate
from sonogate.database import opened
from sonogate.errors import NotMigrated
from sonogate.settings import FrontDoorSettings


@click.group()
def command() -> None:
    """Create, upgrade or check the database."""


@command.command()
def upgrade() -> None:
    """Create the tables, or bring them to this version's schema. Back up first."""
    with opened(FrontDoorSettings.load()) as database:
        migrate.upgrade(database.engine)
    click.echo("The database is at this version's schema.")


@command.command()
def check() -> None:
    """Exit with 1 when the database is not at this version's schema, or differs from it."""
    with opened(FrontDoorSettings.load()) as database:
        if not migrate.is_current(database.engine):
            raise NotMigrated
        differences = migrate.find_drift(database.engine)
    for difference in differences:
        click.echo(str(difference), err=True)
    if differences:
        raise click.exceptions.Exit(1)
    click.echo("The database is at this version's schema.")
