"""`sonogate audit`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from db import audit, events
from db.events import EventFilter
from sonogate.database import open_current_database
from sonogate.settings import CliSettings
from webui.audit import export as formats

WRITERS = {"jsonl": formats.to_json_lines, "csv": formats.to_csv_lines}
TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def command() -> None:
    """Verify, list or export the audit log."""


@command.command()
@click.option("--anchor", default="", help="Head hash noted earlier that the log must contain.")
def verify(anchor: str) -> None:
    """Verify that no audit event was changed, removed or inserted.

    Prints the head hash, which is the hash of the newest event. Store it outside this system from
    time to time. Passed as --anchor later, it also proves that the end of the log was not
    truncated and rewritten.

    Exits with 1 if the verification fails.
    """
    with open_current_database(CliSettings.load()) as database, database.read() as session:
        verdict = audit.verify(session, anchor)
    if not verdict.intact:
        click.echo(f"BROKEN: {verdict.problem}")
        raise click.exceptions.Exit(1)
    click.echo(f"Intact: {verdict.events} events, head {verdict.head}")


def _event_filter_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `_event_filter` takes."""
    for option in (  # click lists the option that is applied last first
        click.option("--until", type=TIME, metavar="TIME", help="Latest time, exclusive."),
        click.option("--since", type=TIME, metavar="TIME", help="Earliest time."),
        click.option("--study", "study_id", type=click.UUID, help="Sonogate's id of a study."),
        click.option("--actor", default="", help="user:NAME, or the name of a service."),
        click.option("--tag", default="", help="Tag, or the start of a tag, such as web:"),
    ):
        function = option(function)
    return function


def _event_filter(
    tag: str, actor: str, study_id: UUID | None, since: datetime | None, until: datetime | None
) -> EventFilter:
    return EventFilter(tag, actor, study_id, _to_utc(since), _to_utc(until))


def _to_utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


@command.command("list")
@_event_filter_options
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of events.",
)
def list_(limit: int, **filters: Any) -> None:
    """List audit events, newest first.

    TIME is a date or a date and time in UTC, such as 2026-03-01 or 2026-03-01T08:30:00.
    """
    with open_current_database(CliSettings.load()) as database, database.read() as session:
        page = events.load_events(session, _event_filter(**filters), number=1, size=limit)
    for event in page.events:
        at = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        click.echo(
            f"{event.seq:>7} {at} {event.tag:<30} {event.actor:<16} {event.study_id or '-'}"
            f" {event.details}"
        )
    if page.total > limit:
        click.echo(f"{page.total - limit} older events not shown; use --limit", err=True)


@command.command()
@_event_filter_options
@click.option(
    "--format",
    "output_format",
    default="jsonl",
    show_default=True,
    type=click.Choice(list(WRITERS)),
    help="Output format.",
)
@click.option(
    "--output",
    default="-",
    type=click.File("w", encoding="utf-8"),
    help="Output file. Default: standard output.",
)
def export(output_format: str, output: Any, **filters: Any) -> None:
    """Export audit events, oldest first, with every column that the hash chain covers.

    TIME is a date or a date and time in UTC, such as 2026-03-01 or 2026-03-01T08:30:00.
    """
    with open_current_database(CliSettings.load()) as database, database.read() as session:
        for line in WRITERS[output_format](events.iter_events(session, _event_filter(**filters))):
            output.write(line)
