"""The `sonogate` command. Subcommands are modules of `sonogate.commands`, imported on demand."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

COMMANDS = {
    "up": "Run all services on this machine.",
    "demo": "Run all services with phantom studies and a demo PACS.",
    "doctor": "Check the installation and print remedies.",
    "analyze": "Analyze DICOM, PNG or JPEG files without services.",
    "send": "Send files to a DICOM node by C-STORE.",
    "listener": "Run the DICOM listener.",
    "indexer": "Run the indexer.",
    "worker": "Run a worker.",
    "web": "Run the web interface.",
    "setup": "Create the database and the first administrator.",
    "db": "Upgrade or check the database schema.",
    "store": "Rebuild the rows of received files.",
    "users": "Manage user accounts.",
    "audit": "Verify, list or export the audit log.",
    "gate": "Count the images that the input gate refuses.",
    "shadow": "Compare the shadow preset with the active preset.",
    "routes": "Check the routes file.",
    "destination": "Test a destination.",
    "train": "Train a recipe and score it by cross-validation.",
    "combine": "Average several trainings into one preset.",
    "tune": "Search hyperparameters of a recipe.",
    "dataset": "Inspect training data, or export it from signed reviews.",
    "evaluate": "Evaluate a preset on labeled images.",
}
SONOGATE_PACKAGES = {"sonogate", "listener", "workers", "webui", "dicom", "models", "db"}


class CommandFailed(click.ClickException):
    """An error that is printed as one line, without a traceback."""

    def show(self, file: Any = None) -> None:
        """Print the error to standard error."""
        click.echo(f"sonogate: {self.message}", err=True)


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is called, so that ``--help`` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sonogate.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand and turn expected errors into `CommandFailed`."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = user_message(error)
            if message is None or ctx.params["debug"]:
                raise
            raise CommandFailed(message) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.version_option(package_name="sonogate", message="sonogate %(version)s")
def cli(debug: bool) -> None:
    """The open-source bridge between breast-ultrasound AI and the hospital's PACS.

    Research software, not a medical device.

    Settings are environment variables that start with SONOGATE_. Data and logs are stored in
    SONOGATE_HOME, by default ./var.
    """


def user_message(error: Exception) -> str | None:
    """Return one line about an expected error, or None for a bug, which needs its traceback."""
    package = type(error).__module__.partition(".")[0]
    if package in SONOGATE_PACKAGES:
        return str(error)
    if package == "sqlalchemy":
        from sqlalchemy.exc import DBAPIError

        if not isinstance(error, DBAPIError):
            return None
        # the driver's message; SQLAlchemy's own text would quote the statement parameters
        reason = str(error.orig).partition("\n")[0]
        return f"database error: {reason}; run `sonogate doctor`"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.errno == errno.EADDRINUSE:
        return "the port is already in use by another program"
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 failed or interrupted, 2 wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # for this process and its children
    try:
        cli.main(args=arguments, prog_name="sonogate")
    except BrokenPipeError:  # the program that reads our output has exited, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
