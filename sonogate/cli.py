"""The `sonogate` command. Subcommands are modules of `sonogate.commands`, imported when called."""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

logger = logging.getLogger(__name__)

COMMANDS = {
    "up": "Run every service of one installation and keep them running.",
    "demo": "Show the whole line on phantoms: listener, worker, web and a PACS stand-in.",
    "doctor": "Check settings, database, Redis, disk, presets and destinations.",
    "analyze": "Analyze DICOM or PNG/JPEG files without any service.",
    "send": "Send files to a DICOM node by C-STORE.",
    "listener": "Run the DICOM listener.",
    "worker": "Run a worker.",
    "web": "Run the web pages.",
    "setup": "Make an installation ready: database and first administrator.",
    "db": "Create, upgrade or check the database.",
    "users": "Add people, reset passwords.",
    "audit": "Verify, list or export the audit chain.",
    "gate": "Say which images the input gate refuses.",
    "shadow": "Compare the shadow preset with the active one.",
    "routes": "Check the routes file.",
    "destination": "Try out where results go.",
    "train": "Train a recipe on a folder of images and masks, and score it fold by fold.",
    "combine": "Average several trainings into one preset.",
    "tune": "Try the values that a recipe declares, and write the best as a recipe.",
    "dataset": "Look at labeled images before training, or export what readers signed.",
    "evaluate": "Score a preset on a folder of images and masks.",
}
OUR_PACKAGES = {"sonogate", "listener", "workers", "webui", "dicom", "models", "db", "domain"}


class Failed(click.ClickException):
    """One clear line instead of a traceback."""

    def show(self, file: Any = None) -> None:
        click.echo(f"sonogate: {self.message}", err=True)


class LazyGroup(click.Group):
    """Loads a subcommand only when it is called, so that help comes at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sonogate.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:  # `explain` tells those for people from bugs
            message = explain(error)
            if message is None or ctx.params["debug"]:
                raise
            raise Failed(message) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="sonogate", message="sonogate %(version)s")
def cli(debug: bool) -> None:
    """The open-source bridge between breast-ultrasound AI and the hospital's PACS.

    Research software, not a medical device. Settings are environment variables that begin with
    SONOGATE_; state lives under ./var or SONOGATE_HOME.
    """


def explain(error: Exception) -> str | None:
    """One line for an error that a person can act on; None for a bug, which needs its traceback."""
    if type(error).__module__.partition(".")[0] in OUR_PACKAGES:
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"the port is taken by another program ({error.strerror})"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return _database_problem(error)


def _database_problem(error: Exception) -> str | None:
    """What the driver says; SQLAlchemy's own text would quote the statement's parameters."""
    original = getattr(error, "orig", None)
    if not type(error).__module__.startswith("sqlalchemy.") or original is None:
        return None
    return (
        f"the database does not answer ({str(original).partition(chr(10))[0]}): `sonogate doctor`"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 fine, 1 failed or interrupted, 2 wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for this process and its children
    try:
        cli.main(args=arguments, prog_name="sonogate")
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
