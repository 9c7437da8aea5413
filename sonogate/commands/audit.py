"""`sonogate audit`: the chain of events, proved and read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from db import audit, events
from db.events import EventFilter
from db.schema import AuditEvent
from sonogate.database import migrated
from sonogate.settings import FrontDoorSettings
from webui.audit import export as formats

WRITERS = {"jsonl": formats.jsonl, "csv": formats.csv_lines}
DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def command() -> None:
    """Verify, list or export the audit chain."""


@command.command()
@click.option("--anchor", default="", help="A head hash noted earlier, which must still be there.")
def verify(anchor: str) -> None:
    """Prove that no event was changed, removed or inserted; exits with 1 when one was.

    Prints the hash of the newest event. Note it outside now and then: given as --anchor later, it
    also proves that the end of the chain was not cut off and replaced.
    """
    with migrated(FrontDoorSettings.load()) as database, database.read() as session:
        verdict = audit.verify(session, anchor)
    if not verdict.intact:
        click.echo(f"BROKEN: {verdict.problem}")
        raise click.exceptions.Exit(1)
    click.echo(f"Intact: {verdict.events} events, head {verdict.head}")


def _filters(function: Callable[..., None]) -> Callable[..., None]:
    """The options that narrow the chain, handed on as one `EventFilter`."""
    for option in (
        click.option("--tag", default="", help="A tag, or its beginning with the colon: web:"),
        click.option("--actor", default="", help="user:NAME or a service's name."),
        click.option("--study", "study_id", type=click.UUID, help="Sonogate's id of a study."),
        click.option("--since", type=DAY, help="First day or moment (UTC)."),
        click.option("--until", type=DAY, help="The moment (UTC) before which events lie."),
    ):
        function = option(function)
    return function


@command.command("list")
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
def list_(limit: int, **wanted: Any) -> None:
    """List events, newest first."""
    with migrated(FrontDoorSettings.load()) as database, database.read() as session:
        page = events.load_events(session, _wanted(**wanted), number=1, size=limit)
    for event in page.events:
        click.echo(_line(event))
    if page.total > limit:
        click.echo(f"… and {page.total - limit} older ones", err=True)


@command.command()
@_filters
@click.option("--format", "kind", default="jsonl", type=click.Choice(list(WRITERS)))
@click.option("--output", default="-", type=click.File("w", encoding="utf-8"), help="A file.")
def export(kind: str, output: Any, **wanted: Any) -> None:
    """Write events, oldest first, with every column that the hashes cover."""
    with migrated(FrontDoorSettings.load()) as database, database.read() as session:
        for line in WRITERS[kind](events.iter_events(session, _wanted(**wanted))):
            output.write(line)


def _wanted(
    tag: str, actor: str, study_id: UUID | None, since: datetime | None, until: datetime | None
) -> EventFilter:
    return EventFilter(tag, actor, study_id, _utc(since), _utc(until))


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _line(event: AuditEvent) -> str:
    at = f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return f"{event.seq:>7} {at} {event.tag:<30} {event.actor:<16} {event.study_id or '-'} {event.details}"
