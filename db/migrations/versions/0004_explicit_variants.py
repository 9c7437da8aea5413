"""Store every result spec with its variant, because the default variants change.

`seg` meant `seg:binary` in the first release. A row that says only `seg` would mean another
encoding as soon as that is the default.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

DEFAULT_VARIANTS: Final = {
    "seg": "binary",
    "sr": "comprehensive",
    "heatmap-seg": "fractional",
    "heatmap-pm": "float",
    "heatmap-sc": "native",
    "key-objects": "of-interest",
    "presentation-state": "softcopy",
    "encapsulated-pdf": "page",
}
"""Of the first release. This never changes."""
OPTIONS: Final = ("every-frame",)
"""Words after a colon that are no variant."""
OBJECTS: Final = sa.table(
    "result_object",
    sa.column("id", sa.Uuid()),
    sa.column("spec", sa.String()),
    sa.column("selections", sa.JSON()),
)
TRIGGER: Final = "guard_result_object_update"


def upgrade() -> None:
    _rewrite(_with_variant)


def downgrade() -> None:
    _rewrite(_without_default_variant)


def _with_variant(spec: str) -> str:
    kind, *words = spec.split(":")
    if (not words or words[0] in OPTIONS) and kind in DEFAULT_VARIANTS:
        words.insert(0, DEFAULT_VARIANTS[kind])
    return ":".join((kind, *words))


def _without_default_variant(spec: str) -> str:
    kind, *words = spec.split(":")
    if words and words[0] == DEFAULT_VARIANTS.get(kind):
        del words[0]
    return ":".join((kind, *words))


def _rewrite(change: Callable[[str], str]) -> None:
    for name, column in (("destination", "results"), ("delivery", "selection")):
        table = sa.table(name, sa.column("id", sa.Uuid()), sa.column(column, sa.JSON()))
        for row in op.get_bind().execute(sa.select(table)).all():
            specs = [change(spec) for spec in row[1]]
            op.execute(table.update().where(table.c.id == row.id).values({column: specs}))
    with _result_objects_unguarded():
        for row in op.get_bind().execute(sa.select(OBJECTS)).all():
            selections = [[change(spec) for spec in selection] for selection in row.selections]
            update = OBJECTS.update().where(OBJECTS.c.id == row.id)
            op.execute(update.values(spec=change(row.spec), selections=selections))


@contextmanager
def _result_objects_unguarded() -> Iterator[None]:
    """Switch off the trigger that rejects updates of result objects."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE result_object DISABLE TRIGGER {TRIGGER}")
        yield
        op.execute(f"ALTER TABLE result_object ENABLE TRIGGER {TRIGGER}")
    else:  # SQLite can only drop it
        query = sa.text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
        statement = op.get_bind().execute(query, {"name": TRIGGER}).scalar_one()
        op.execute(f"DROP TRIGGER {TRIGGER}")
        yield
        op.execute(statement)
