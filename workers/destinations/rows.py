"""The destinations of the routes file as database rows."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.routes import DestinationTable
from db.schema import Destination
from workers.destinations.registry import find_kind
from workers.results.selection import select_results, selection_as_text


def sync_destinations(
    session: Session, tables: Sequence[DestinationTable]
) -> dict[str, Destination]:
    """Update the rows from the routes file, by name, and return the active ones.

    A destination that is no longer in the file becomes inactive: its deliveries are kept.

    Its result selection changes when the file does, or when a release changes what a profile or a
    result without a variant stands for. Only the former is a decision of the administrator, which
    pending deliveries follow. After the latter, `former_results` has the earlier selection.

    Raises:
        ValueError: as `workers.destinations.registry.check_destination`.
    """
    rows = {row.name: row for row in session.scalars(select(Destination).with_for_update())}
    for row in rows.values():
        row.active = False
    for table in tables:
        chosen = table.model_dump(include={"profile", "results"}, exclude_none=True, mode="json")
        selection = selection_as_text(select_results(table))
        if table.name not in rows:
            rows[table.name] = Destination(id=uuid4(), name=table.name, results=selection)
        row = rows[table.name]
        if row.chosen not in (None, chosen):
            row.former_results = []
        elif row.results != selection:
            row.former_results = [*row.former_results, row.results]
        row.kind = table.kind
        row.settings = find_kind(table.kind).parse_settings(table.settings).model_dump(mode="json")
        row.results = selection
        row.chosen = chosen
        row.active = True
        session.add(row)
    session.flush()
    return {name: row for name, row in rows.items() if row.active}
