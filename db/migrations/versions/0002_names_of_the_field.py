"""Rename columns and values to the terms that DICOM and job queues use."""

from typing import Final

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
"""Table, name in 0001, name now."""


def upgrade() -> None:
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.execute("UPDATE job SET status = 'dead-letter' WHERE status = 'dead'")
    _rename_unique("what", "event")


def downgrade() -> None:
    op.execute("UPDATE job SET status = 'dead' WHERE status = 'dead-letter'")
    for table, old, new in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    _rename_unique("event", "what")


def _rename_unique(old: str, new: str) -> None:
    """Keep the constraint's name in step with its column."""
    with op.batch_alter_table("sender_count") as batch:
        batch.drop_constraint(f"uq_sender_count_calling_ae_address_{old}", type_="unique")
        batch.create_unique_constraint(
            f"uq_sender_count_calling_ae_address_{new}", ["calling_ae", "address", new]
        )
