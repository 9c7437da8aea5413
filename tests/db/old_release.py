"""A database at migration 0001 with studies in every state, and the files that its jobs need.

`release_0001/rows.json` holds the rows by table, `release_0001/files.zip` the file store. The code
of commit c38e645 wrote both. Patients and users are invented, images are phantoms.
"""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, MetaData, Table, select
from sqlalchemy.types import CHAR, DateTime, TypeEngine, Uuid

FOLDER: Final = Path(__file__).parent / "release_0001"
AFTERWARDS: Final = datetime(2026, 11, 17, 5, 0, tzinfo=UTC)
"""Some minutes after the newest row, when the lease of the running job is over."""
PASSWORD: Final = "a sentence for signing in"
"""Of every user."""


def insert_rows(connection: Connection) -> None:
    """Insert the rows in the order in which the triggers accept them."""
    rows: dict[str, list[dict[str, Any]]] = json.loads((FOLDER / "rows.json").read_text())
    metadata = MetaData()
    metadata.reflect(connection)
    head = metadata.tables["audit_head"]
    signatures = []
    for table in metadata.sorted_tables:
        for row in rows.get(table.name, ()):
            values = _to_columns(table, row)
            if table.name == "review" and "signed_at" in values:  # outlines come first
                signatures.append((values["id"], values.pop("signed_at")))
            connection.execute(table.insert().values(values))
            if table.name == "audit_event":
                connection.execute(head.update().values(seq=values["seq"], hash=values["hash"]))
    review = metadata.tables["review"]
    for review_id, signed_at in signatures:
        update = review.update().where(review.c.id == review_id)
        connection.execute(update.values(signed_at=signed_at))


def read_rows(connection: Connection) -> dict[str, list[str]]:
    """Every row of every table as text, for comparison."""
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        name: sorted(
            str(sorted(row.items())) for row in connection.execute(select(table)).mappings()
        )
        for name, table in metadata.tables.items()
        if name != "alembic_version"
    }


def extract_files(root: Path) -> None:
    """Put the files below the root of a file store."""
    with zipfile.ZipFile(FOLDER / "files.zip") as archive:
        archive.extractall(root)


def _to_columns(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {name: _to_column(table.c[name].type, value) for name, value in row.items()}


def _to_column(column: TypeEngine[Any], value: Any) -> Any:
    if isinstance(column, DateTime):
        return datetime.fromisoformat(value)
    if isinstance(column, Uuid):  # PostgreSQL
        return UUID(value)
    if isinstance(column, CHAR):  # SQLite has no type for UUIDs
        return UUID(value).hex
    return value
