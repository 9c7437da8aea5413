"""The destinations of the routes file as rows."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.routes import DestinationTable
from db.schema import Destination
from workers.results.selection import parse_selection, selection_as_text


def sync_destinations(
    session: Session, tables: Sequence[DestinationTable]
) -> dict[str, Destination]:
    """Make the rows say what the file says, by name; returns the active ones.

    A destination that left the file becomes inactive: deliveries to it are history. Raises
    UnknownResult.
    """
    rows = {row.name: row for row in session.scalars(select(Destination).with_for_update())}
    for row in rows.values():
        row.active = False
    for table in tables:
        row = rows.setdefault(table.name, Destination(id=uuid4(), name=table.name))
        row.ae_title, row.host, row.port = table.ae_title, table.host, table.port
        row.results = selection_as_text(parse_selection(table.results))
        row.active = True
        session.add(row)
    session.flush()
    return {name: row for name, row in rows.items() if row.active}
