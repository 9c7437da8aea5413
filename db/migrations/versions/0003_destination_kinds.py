"""Store the settings of a destination as JSON with its kind."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

DESTINATION = sa.table(
    "destination",
    sa.column("id", sa.Uuid()),
    sa.column("kind", sa.String(64)),
    sa.column("settings", sa.JSON()),
    sa.column("ae_title", sa.String(16)),
    sa.column("host", sa.String(64)),
    sa.column("port", sa.Integer()),
)


def upgrade() -> None:
    _add(sa.Column("kind", sa.String(64), nullable=False, server_default="dimse"))
    _add(sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))
    columns = DESTINATION.c
    connection = op.get_bind()
    for row in connection.execute(
        sa.select(columns.id, columns.ae_title, columns.host, columns.port)
    ).all():
        settings = {"ae_title": row.ae_title, "host": row.host, "port": row.port}
        op.execute(DESTINATION.update().where(columns.id == row.id).values(settings=settings))
    for column in ("ae_title", "host", "port"):
        op.drop_column("destination", column)
    _drop_defaults("kind", "settings")


def downgrade() -> None:
    _add(sa.Column("ae_title", sa.String(16), nullable=False, server_default=""))
    _add(sa.Column("host", sa.String(64), nullable=False, server_default=""))
    _add(sa.Column("port", sa.Integer(), nullable=False, server_default="0"))
    columns = DESTINATION.c
    for row in op.get_bind().execute(sa.select(columns.id, columns.settings)).all():
        values = {key: row.settings[key] for key in ("ae_title", "host", "port")}
        op.execute(DESTINATION.update().where(columns.id == row.id).values(values))
    for column in ("kind", "settings"):
        op.drop_column("destination", column)
    _drop_defaults("ae_title", "host", "port")


def _add(column: sa.Column[object]) -> None:
    """Add a column without copying the table: on SQLite, other tables reference it."""
    op.add_column("destination", column)


def _drop_defaults(*columns: str) -> None:
    """Drop the defaults that existing rows needed. SQLite cannot do that without a copy."""
    if op.get_bind().dialect.name != "sqlite":
        for column in columns:
            op.alter_column("destination", column, server_default=None)
