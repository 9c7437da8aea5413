"""`sonogate destination`: trying out where results go."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import click

from db.routes import DestinationTable, load_routes
from db.types import now_utc
from dicom.results.catalogue import parse_spec
from sonogate.database import migrated
from sonogate.destination_test.commitment import Ledger
from sonogate.destination_test.objects import Piece, make_images, make_results
from sonogate.destination_test.phantom_study import PATIENT_ID, make_result, make_review
from sonogate.destination_test.run import Fate, Patience, Rehearsal, rehearse
from sonogate.errors import NoSuchDestination
from workers.peers.store_scu import Peer
from workers.results.selection import parse_selection
from workers.settings import WorkerSettings

FOUND = {None: "", True: "found", False: "NOT found"}
COMMITTED = {None: "", True: "committed", False: "NOT committed"}
CHANGES_SHOWN = 12


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
@click.option(
    "--find-seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="For how long to ask again for what C-FIND does not find: it may be indexed later.",
)
@click.option(
    "--without-images", is_flag=True, help="Send the results alone, without images to show them on."
)
def test(name: str, commit_seconds: float, find_seconds: float, without_images: bool) -> None:
    """Send a made-up study to the destination NAME, and ask for it back.

    First its images go, so that a viewer there has something to show the results on; then every
    kind of result that the destination wants; then, as signed/…, what a signed review adds:
    verified reports and an edited segmentation. All is of the patient ID SONOGATE-TEST, in a new
    study each time; remove it there afterwards.

    What comes back is compared byte for byte, and what it says otherwise is named. The
    destination is asked to commit itself to keep all; its report comes to our listener, which
    must run for that. Exits with 1 when something did not survive.
    """
    settings = WorkerSettings.load()
    entry = _entry(name, load_routes(settings.effective_routes_file, parse_spec).destination)
    with (
        tempfile.TemporaryDirectory(prefix="sonogate-") as folder,
        migrated(settings) as database,
    ):
        pieces = _pieces(entry, Path(folder), with_images=not without_images)
        peer = Peer(entry.ae_title, entry.host, entry.port)
        patience = Patience(
            settings.delivery_connect_timeout_seconds,
            settings.delivery_response_timeout_seconds,
            find_seconds,
            commit_seconds,
        )
        rehearsal = rehearse(
            pieces,
            peer,
            Ledger(database, entry.name, peer),
            calling_ae=settings.ae_title,
            patience=patience,
        )
    _print(entry, pieces, rehearsal)
    if rehearsal.survivors < len(rehearsal.fates):
        raise click.exceptions.Exit(1)


def _entry(name: str, entries: tuple[DestinationTable, ...]) -> DestinationTable:
    for entry in entries:
        if entry.name == name:
            return entry
    raise NoSuchDestination(name, [entry.name for entry in entries])


def _pieces(entry: DestinationTable, folder: Path, *, with_images: bool) -> list[Piece]:
    result = make_result(folder, run=str(uuid4()), now=now_utc())
    results = make_results(result, make_review(result), parse_selection(entry.results), folder)
    return [*make_images(result), *results] if with_images else results


def _print(entry: DestinationTable, pieces: Sequence[Piece], rehearsal: Rehearsal) -> None:
    click.echo(f"{entry.name}: {entry.ae_title} at {entry.host}:{entry.port} answers C-ECHO")
    for study_uid in {piece.instance.study_instance_uid for piece in pieces}:
        click.echo(f"patient ID {PATIENT_ID}, study {study_uid}")
    for fate in rehearsal.fates:
        click.echo(f"{fate.spec:<44} {_words(fate)}")
        for change in fate.changes[:CHANGES_SHOWN]:
            click.echo(f"    {change}")
        if len(fate.changes) > CHANGES_SHOWN:
            click.echo(f"    and {len(fate.changes) - CHANGES_SHOWN} more")
    for service, word in rehearsal.services.items():
        click.echo(f"{service}: {word}")
    click.echo(f"{rehearsal.survivors} of {len(rehearsal.fates)} objects survived")


def _words(fate: Fate) -> str:
    if fate.problem:
        return f"NOT stored: {fate.problem}"
    committed = COMMITTED[fate.committed]
    if fate.uncommitted:
        committed = f"{committed}: {fate.uncommitted}"
    stored = f"stored with a warning, status 0x{fate.warning:04X}" if fate.warning else "stored"
    words = stored, FOUND[fate.found], fate.back, *fate.failures, committed
    return ", ".join(filter(None, words))
