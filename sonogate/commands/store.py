"""`sonogate store`."""

from collections import Counter
from itertools import chain

import click

from listener.index_service import lock_store
from listener.indexer import Indexer
from sonogate import logs
from sonogate.database import open_current_database
from sonogate.settings import CliSettings


@click.group()
def command() -> None:
    """Rebuild the database rows of received files."""


@command.command()
def rebuild() -> None:
    """Make the rows of all received files that have none.

    With an empty database, this restores all studies from the files alone; they are analyzed again.
    Analyses, results and reviews are not restored. Stop `sonogate indexer` first.
    """
    settings = CliSettings.load()
    logs.configure(settings)
    files = settings.file_store()
    files.prepare()
    outcomes: Counter[str] = Counter()
    with (
        open_current_database(settings) as database,
        lock_store(files),
        Indexer(database, files) as indexer,
    ):
        indexer.recover_spool(written_before=float("inf"))
        for batch in chain(indexer.index_incoming(), indexer.index_files_without_row()):
            outcomes += batch
    for outcome, number in sorted(outcomes.items()):
        click.echo(f"{outcome:12} {number}")
    click.echo(f"{outcomes.total()} files had no rows.")
