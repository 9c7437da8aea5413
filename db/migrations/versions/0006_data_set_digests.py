"""Add digests of data sets without file meta information, and sizes of files above 2 GB."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TABLES: Final = ("instance", "conflict")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("data_set_sha256", sa.String(64), nullable=True))
    _change_size_type(sa.Integer(), sa.BigInteger())


def downgrade() -> None:
    _change_size_type(sa.BigInteger(), sa.Integer())
    for table in TABLES:
        op.drop_column(table, "data_set_sha256")


def _change_size_type(old: sa.types.TypeEngine[int], new: sa.types.TypeEngine[int]) -> None:
    """SQLite has one type of integers."""
    if op.get_bind().dialect.name != "sqlite":
        for table in TABLES:
            op.alter_column(table, "size_bytes", existing_type=old, type_=new)
