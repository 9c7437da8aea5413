"""`sonogate users`: people."""

import click

from db import users
from db.schema import Role
from db.types import now_utc
from db.users import NewUser
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings

ACTOR = "sonogate"
"""The command line in the audit chain: whoever may run it may read the database anyway."""


@click.group()
def command() -> None:
    """Add people, reset passwords, switch accounts off."""


@command.command()
@click.argument("username")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--name", default="", help="Display name.")
@click.option("--dicom-name", default="", help="Family^Given, the name that signs results.")
@click.option(
    "--organization", default="", help="Organization that signs results; a radiologist needs it."
)
def add(username: str, role: str, name: str, dicom_name: str, organization: str) -> None:
    """Add an account and print its one-time password."""
    new = NewUser(username, Role(role), name, dicom_name, organization)
    with migrated(FrontDoorSettings.load()) as database, database.write() as session:
        password = users.create_user(session, new, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: one-time password {password}")


@command.command("list")
def list_() -> None:
    """List every account: name, role, state."""
    with migrated(FrontDoorSettings.load()) as database, database.read() as session:
        for user in users.list_users(session):
            state = "active" if user.active else "switched off"
            click.echo(f"{user.username:<24} {user.role.value:<14} {state:<13}{user.display_name}")


@command.command()
@click.argument("username")
def reset_password(username: str) -> None:
    """Replace a lost password by a one-time one; ends the person's sessions."""
    with migrated(FrontDoorSettings.load()) as database, database.write() as session:
        user = users.get_user(session, username)
        password = users.reset_password(session, user, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: one-time password {password}")


@command.command()
@click.argument("username")
def deactivate(username: str) -> None:
    """Switch an account off; it is never deleted, because reviews and events name it."""
    _set_active(username, active=False)


@command.command()
@click.argument("username")
def activate(username: str) -> None:
    """Switch an account on again."""
    _set_active(username, active=True)


def _set_active(username: str, *, active: bool) -> None:
    with migrated(FrontDoorSettings.load()) as database, database.write() as session:
        user = users.get_user(session, username)
        users.set_active(session, user, active, actor=ACTOR, now=now_utc())
    click.echo(f"{username}: {'active' if active else 'switched off'}")
