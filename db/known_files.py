"""Which received files have rows."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, union_all
from sqlalchemy.orm import Session

from db.schema import Conflict, Instance


@dataclass(frozen=True)
class KnownFile:
    """The file of a recorded instance, or of a conflict with it."""

    instance_id: UUID
    file: str
    sha256: str
    data_set_sha256: str | None
    """None for a file that an earlier version received."""
    transfer_syntax_uid: str = ""
    """Of an instance only."""


def find_recorded_files(session: Session, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the file of each instance and of each conflict with one of these IDs."""
    query = union_all(
        *(select(table.id, table.file).where(table.id.in_(ids)) for table in (Instance, Conflict))
    )
    return {row.id: row.file for row in session.execute(query)}


def find_files_without_row(session: Session, files: Collection[str]) -> set[str]:
    """Return those of the files that neither an instance nor a conflict refers to."""
    query = union_all(
        *(select(table.file).where(table.file.in_(files)) for table in (Instance, Conflict))
    )
    return set(files).difference(session.scalars(query))


def find_instances(session: Session, sop_instance_uids: Collection[str]) -> dict[str, KnownFile]:
    """Return the recorded instances by SOP Instance UID."""
    rows = session.execute(
        select(
            Instance.sop_instance_uid,
            Instance.id,
            Instance.file,
            Instance.sha256,
            Instance.data_set_sha256,
            Instance.transfer_syntax_uid,
        ).where(Instance.sop_instance_uid.in_(sop_instance_uids))
    )
    return {
        row.sop_instance_uid: KnownFile(
            row.id, row.file, row.sha256, row.data_set_sha256, row.transfer_syntax_uid
        )
        for row in rows
    }


def find_conflicts(session: Session, instance_ids: Collection[UUID]) -> list[KnownFile]:
    """Return the recorded conflicts with these instances."""
    rows = session.scalars(select(Conflict).where(Conflict.instance_id.in_(instance_ids)))
    return [KnownFile(row.instance_id, row.file, row.sha256, row.data_set_sha256) for row in rows]
