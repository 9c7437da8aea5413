"""`sonogate destination`."""

import json
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from uuid import uuid4

import click

from db.routes import DestinationTable, load_routes
from db.types import now_utc
from dicom.results.catalogue import sort_specs
from dicom.results.profiles import DEFAULT_PROFILE
from sonogate.database import open_current_database
from sonogate.destination_test.commitment_requests import CommitmentRequests
from sonogate.destination_test.objects import (
    IMAGE,
    SIGNED_PREFIX,
    SampleObject,
    list_images,
    write_results,
)
from sonogate.destination_test.phantom_study import PATIENT_ID, make_result, make_review
from sonogate.destination_test.profile_fit import (
    find_profile_fits,
    list_passed_results,
    list_profile_specs,
    recommend_profile,
)
from sonogate.destination_test.round_trip import RoundTrip
from sonogate.destination_test.run import DestinationTestResult, Timeouts, run_destination_test
from sonogate.errors import UnknownDestination
from workers.destinations.registry import check_destination, describe_address, find_kind
from workers.results.selection import (
    ResultSelection,
    find_named_profile,
    select_results,
)
from workers.settings import WorkerSettings

FOUND = {None: "", True: "found", False: "NOT found"}
COMMITTED = {None: "", True: "committed", False: "NOT committed"}
DIFFERENCES_SHOWN = 12


@click.group()
def command() -> None:
    """Test a destination before patients' results are sent to it."""


@command.command()
@click.argument("name")
@click.option(
    "--commit-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="How long to wait for the storage commitment report.",
)
@click.option(
    "--find-seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="How long to repeat C-FIND for objects that the PACS has not indexed yet.",
)
@click.option("--without-images", is_flag=True, help="Send the results without the images.")
@click.option(
    "--without-profiles",
    is_flag=True,
    help="Send only the results that the destination receives now.",
)
def test(
    name: str,
    commit_seconds: float,
    find_seconds: float,
    without_images: bool,
    without_profiles: bool,
) -> None:
    """Send a phantom study to destination NAME and retrieve it again.

    Sends phantom images, every kind of result that the destination receives, and the objects that
    a signed review adds (shown as signed/…). Then, as far as the destination offers it, queries
    each object by C-FIND, retrieves it by C-GET and compares the bytes, and requests storage
    commitment. The commitment report goes to our listener, which must be running.

    The results of all destination profiles are sent and tested as well, to say which profiles fit.

    Each run creates a new study with the patient ID SONOGATE-TEST. Delete it from the PACS
    afterwards.

    Exits with 1 if an image, or a result that the destination receives now, was not stored, found,
    retrieved unchanged or committed.
    """
    settings = WorkerSettings.load()
    routes = load_routes(settings.effective_routes_file, check_destination)
    destinations = {destination.name: destination for destination in routes.destination}
    if name not in destinations:
        raise UnknownDestination(name, list(destinations))
    destination = destinations[name]
    with (
        tempfile.TemporaryDirectory(prefix="sonogate-") as folder,
        open_current_database(settings) as database,
    ):
        selection = select_results(destination)
        profile_specs = () if without_profiles else list_profile_specs()
        samples = _write_samples(
            tuple(sort_specs((*selection, *profile_specs))),
            Path(folder),
            with_images=not without_images,
        )
        kind = find_kind(destination.kind)
        result = run_destination_test(
            samples,
            kind.open_client(destination.settings, settings.send_options),
            CommitmentRequests(database, destination.name),
            Timeouts(find_seconds, commit_seconds),
        )
    received = {IMAGE, *map(str, selection)}
    own, other = _partition_by_result(result.round_trips, received)
    _print_result(destination, samples, result, own)
    if not without_profiles:
        _print_profiles(destination, result.round_trips, other)
    if not all(round_trip.passed for round_trip in own):
        raise click.exceptions.Exit(1)


def _partition_by_result(
    round_trips: Sequence[RoundTrip], received: Container[str]
) -> tuple[list[RoundTrip], list[RoundTrip]]:
    """Return the objects of the results that the destination receives, and the others."""
    own: list[RoundTrip] = []
    other: list[RoundTrip] = []
    for round_trip in round_trips:
        is_own = round_trip.spec.removeprefix(SIGNED_PREFIX) in received
        (own if is_own else other).append(round_trip)
    return own, other


def _write_samples(
    selection: ResultSelection, folder: Path, *, with_images: bool
) -> list[SampleObject]:
    result = make_result(folder, run=str(uuid4()), now=now_utc())
    results = write_results(result, make_review(result), selection, folder)
    return [*list_images(result), *results] if with_images else results


def _print_result(
    destination: DestinationTable,
    samples: Sequence[SampleObject],
    result: DestinationTestResult,
    own: Sequence[RoundTrip],
) -> None:
    click.echo(f"{destination.name}: {describe_address(destination)} answers")
    for study_uid in {sample.instance.study_instance_uid for sample in samples}:
        click.echo(f"patient ID {PATIENT_ID}, study {study_uid}")
    _print_round_trips(own)
    for service, text in result.services.items():
        click.echo(f"{service}: {text}")
    passed = sum(round_trip.passed for round_trip in own)
    click.echo(f"{passed} of {len(own)} objects passed")


def _print_profiles(
    destination: DestinationTable, round_trips: Sequence[RoundTrip], other: Sequence[RoundTrip]
) -> None:
    """Print the objects that the destination does not receive now, and which profiles fit."""
    if other:
        click.echo("Results of other profiles:")
        _print_round_trips(other)
    fits = find_profile_fits(round_trips)
    recommended, selected = recommend_profile(fits), find_named_profile(destination)
    click.echo("Profiles:")
    for fit in fits:
        notes = ["fits" if fit.fits else "does NOT fit"]
        notes += ["selected now"] if fit.profile == selected else []
        notes += ["recommended"] if fit.profile == recommended else []
        click.echo(f"{fit.profile.name:<12} {', '.join(notes)}: for {fit.profile.destination}")
        for problem in fit.problems:
            click.echo(f"    {problem}")
    if recommended is None:
        results = list_passed_results(round_trips, DEFAULT_PROFILE.specs)
        click.echo(
            f"No profile for viewing fits. These results passed: results = {json.dumps(results)}"
            if results
            else "No profile fits: no result passed."
        )


def _print_round_trips(round_trips: Sequence[RoundTrip]) -> None:
    for round_trip in round_trips:
        click.echo(f"{round_trip.spec:<44} {_round_trip_text(round_trip)}")
        for difference in round_trip.differences[:DIFFERENCES_SHOWN]:
            click.echo(f"    {difference}")
        if len(round_trip.differences) > DIFFERENCES_SHOWN:
            click.echo(f"    and {len(round_trip.differences) - DIFFERENCES_SHOWN} more")


def _round_trip_text(round_trip: RoundTrip) -> str:
    if round_trip.problem:
        return f"NOT stored: {round_trip.problem}"
    stored = "stored"
    if round_trip.warning_status:
        stored = f"stored with a warning (status 0x{round_trip.warning_status:04X})"
    committed = COMMITTED[round_trip.committed]
    if round_trip.commitment_failure:
        committed = f"{committed}: {round_trip.commitment_failure}"
    parts = stored, FOUND[round_trip.found], round_trip.retrieval, *round_trip.failures, committed
    return ", ".join(filter(None, parts))
