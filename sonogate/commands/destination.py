"""`sonogate destination`: trying out where results go."""

import tempfile
from pathlib import Path
from uuid import uuid4

import click

from db.routes import DestinationTable, load_routes
from db.types import now_utc
from dicom.variants import parse_spec
from sonogate.errors import NoSuchDestination
from sonogate.ledger import Ledger
from sonogate.phantom_study import make_result
from sonogate.rehearsal import Fate, Rehearsal, make_pieces, rehearse
from sonogate.store import migrated
from workers.settings import WorkerSettings
from workers.store_client import Peer
from workers.wishes import read_wish

FOUND = {None: "", True: "found", False: "NOT found"}
COMMITTED = {None: "", True: "committed", False: "NOT committed"}


@click.group()
def command() -> None:
    """Where results go: try a PACS out before patients' results go there."""


@command.command()
@click.argument("name")
@click.option(
    "--commit-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="How long to wait for its report about storage commitment.",
)
def test(name: str, commit_seconds: float) -> None:
    """Send results of a made-up study to the destination NAME, and ask for them back.

    Every kind that it wants is sent under the patient ID SONOGATE-TEST, in a new study each time;
    remove it there afterwards. What comes back is compared byte for byte. It is asked to commit
    itself to keep them; its report comes to our listener, which must run for that. Exits with 1
    when something did not survive.
    """
    settings = WorkerSettings.load()
    entry = _entry(name, load_routes(settings.effective_routes_file, parse_spec).destination)
    with (
        tempfile.TemporaryDirectory(prefix="sonogate-") as folder,
        migrated(settings) as database,
    ):
        result = make_result(Path(folder), run=str(uuid4()), now=now_utc())
        rehearsal = rehearse(
            make_pieces(result, read_wish(entry.results), Path(folder)),
            Peer(entry.ae_title, entry.host, entry.port),
            Ledger(database, entry.name),
            calling_ae=settings.ae_title,
            connect_seconds=settings.delivery_connect_seconds,
            answer_seconds=settings.delivery_answer_seconds,
            commit_seconds=commit_seconds,
        )
    _print(entry, rehearsal)
    if rehearsal.survivors < len(rehearsal.fates):
        raise click.exceptions.Exit(1)


def _entry(name: str, entries: tuple[DestinationTable, ...]) -> DestinationTable:
    for entry in entries:
        if entry.name == name:
            return entry
    raise NoSuchDestination(name, [entry.name for entry in entries])


def _print(entry: DestinationTable, rehearsal: Rehearsal) -> None:
    click.echo(f"{entry.name}: {entry.ae_title} at {entry.host}:{entry.port} answers C-ECHO")
    for fate in rehearsal.fates:
        click.echo(f"{fate.spec:<34} {_words(fate)}")
    for service, word in rehearsal.services.items():
        click.echo(f"{service}: {word}")
    click.echo(f"{rehearsal.survivors} of {len(rehearsal.fates)} objects survived")


def _words(fate: Fate) -> str:
    if fate.problem:
        return f"NOT stored: {fate.problem}"
    committed = COMMITTED[fate.committed]
    if fate.uncommitted:
        committed = f"{committed}: {fate.uncommitted}"
    return ", ".join(filter(None, ("stored", FOUND[fate.found], fate.back, committed)))
