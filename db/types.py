"""Column types for SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A time-zone-aware datetime in UTC. SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored: set its time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now_utc() -> datetime:
    """Return the current time. Only services call this; all other functions take ``now``."""
    return datetime.now(UTC)


Id = Annotated[UUID, mapped_column(primary_key=True, default=uuid4)]
Uid = Annotated[str, mapped_column(String(64))]
"""A DICOM unique identifier, at most 64 characters (PS3.5 9.1)."""
AeTitle = Annotated[str, mapped_column(String(16))]
ShortText = Annotated[str, mapped_column(String(64))]
LongText = Annotated[str, mapped_column(String(1024))]
RelativePath = Annotated[str, mapped_column(String(255))]
"""A path relative to the root of the file store."""
FileSize = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"))]
"""In bytes. INTEGER of SQLite has 64 bits, that of PostgreSQL ends at 2 GB."""
Sha256 = Annotated[str, mapped_column(String(64))]
JsonList = Annotated[list[Any], mapped_column(JSON)]
JsonDict = Annotated[dict[str, Any], mapped_column(JSON)]

StudyId = Annotated[UUID, mapped_column(ForeignKey("study.id"), index=True)]
InstanceId = Annotated[UUID, mapped_column(ForeignKey("instance.id"), index=True)]
AnalysisId = Annotated[UUID, mapped_column(ForeignKey("analysis.id"), index=True)]
