"""Rename columns and values to the terms that DICOM and job queues use."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS: Final = (
    ("analysis", "abstain_below", "confidence_threshold"),
    ("result_object", "wishes", "selections"),
    ("delivery", "wish", "selection"),
    ("commitment", "asked", "requested"),
    ("commitment", "asked_at", "requested_at"),
    ("commitment", "failed", "failure_reasons"),
    ("sender_count", "what", "event"),
    ("job", "claims", "fencing_token"),
)
"""Table, old name, new name."""
VALUES: Final = (
    ("job", "kind", "analyse", "analyze"),
    ("job", "status", "dead", "dead-letter"),
    ("study", "status", "analysing", "analyzing"),
    ("study", "status", "analysed", "analyzed"),
    ("refusal", "code", "colour-doppler", "color-doppler"),
    ("sender_count", "event", "refused:not-authorised", "refused:not-authorized"),
)
"""Table, column, old value, new value."""


def upgrade() -> None:
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for table, column, old, new in VALUES:
        _replace(table, column, old, new)
    _rename_unique("what", "event")


def downgrade() -> None:
    for table, column, old, new in VALUES:
        _replace(table, column, new, old)
    for table, old, new in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    _rename_unique("event", "what")


def _replace(table: str, column: str, old: str, new: str) -> None:
    values = sa.table(table, sa.column(column))
    op.execute(values.update().where(values.c[column] == old).values({column: new}))


def _rename_unique(old: str, new: str) -> None:
    """Rename the unique constraint after its column."""
    with op.batch_alter_table("sender_count") as batch:
        batch.drop_constraint(f"uq_sender_count_calling_ae_address_{old}", type_="unique")
        batch.create_unique_constraint(
            f"uq_sender_count_calling_ae_address_{new}", ["calling_ae", "address", new]
        )
