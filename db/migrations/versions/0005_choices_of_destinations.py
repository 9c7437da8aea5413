"""Record what the routes file says of a destination's results, and what that stood for before."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("destination", sa.Column("chosen", sa.JSON(), nullable=True))
    op.add_column(
        "destination", sa.Column("former_results", sa.JSON(), nullable=False, server_default="[]")
    )
    if op.get_bind().dialect.name != "sqlite":  # SQLite cannot drop it without a copy
        op.alter_column("destination", "former_results", server_default=None)


def downgrade() -> None:
    op.drop_column("destination", "former_results")
    op.drop_column("destination", "chosen")
