"""`sonogate users`."""

import click

from db import users
from db.schema import Role
from db.types import now_utc
from db.users import NewUser
from sonogate.database import open_current_database
from sonogate.settings import CliSettings

ACTOR = "sonogate"
"""Actor of these commands in the audit log. Their user has direct access to the database anyway."""


@click.group()
def command() -> None:
    """Manage user accounts."""


@command.command()
@click.argument("username")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--name", default="", help="Display name.")
@click.option("--dicom-name", default="", help="Name in signed reports, as Family^Given.")
@click.option(
    "--organization", default="", help="Organization in signed reports. Required for radiologists."
)
def add(username: str, role: str, name: str, dicom_name: str, organization: str) -> None:
    """Add an account and print its one-time password."""
    account = NewUser(username, Role(role), name, dicom_name, organization)
    with open_current_database(CliSettings.load()) as database, database.write() as session:
        password = users.create_user(session, account, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: one-time password {password}")


@command.command("list")
def list_() -> None:
    """List all accounts with their role and status."""
    with open_current_database(CliSettings.load()) as database, database.read() as session:
        for user in users.list_users(session):
            status = "active" if user.active else "inactive"
            click.echo(f"{user.username:<24} {user.role.value:<14} {status:<9}{user.display_name}")


@command.command()
@click.argument("username")
def reset_password(username: str) -> None:
    """Replace a password by a one-time password.

    Ends all sessions of the user.
    """
    with open_current_database(CliSettings.load()) as database, database.write() as session:
        user = users.get_user(session, username)
        password = users.reset_password(session, user, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: one-time password {password}")


@command.command()
@click.argument("username")
def deactivate(username: str) -> None:
    """Deactivate an account.

    Accounts cannot be deleted, because reviews and audit events refer to them.
    """
    _set_active(username, active=False)


@command.command()
@click.argument("username")
def activate(username: str) -> None:
    """Activate an account again."""
    _set_active(username, active=True)


def _set_active(username: str, *, active: bool) -> None:
    with open_current_database(CliSettings.load()) as database, database.write() as session:
        user = users.get_user(session, username)
        users.set_active(session, user, active, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: {'active' if active else 'inactive'}")
