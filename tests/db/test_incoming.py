"""Names of incoming files, and the backlog."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from db.files import FileStore
from db.incoming import (
    Backlog,
    IncomingName,
    id_time,
    list_incoming,
    measure_backlog,
    new_instance_id,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "files")
    store.prepare()
    return store


def add(directory: Path, at: datetime = NOW) -> IncomingName:
    name = IncomingName(new_instance_id(at), 5)
    (directory / str(name)).write_bytes(b"whole")
    return name


def test_ids_are_uuids_that_sort_by_time() -> None:
    ids = [new_instance_id(NOW + number * timedelta(microseconds=1)) for number in range(2000)]
    assert ids == sorted(ids)
    assert [str(one) for one in ids] == sorted(map(str, ids))
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert id_time(ids[0]) == NOW.replace(microsecond=891_000)


def test_ids_of_one_moment_differ() -> None:
    assert len({new_instance_id(NOW) for _ in range(1000)}) == 1000


def test_a_name_is_parsed_as_it_was_written() -> None:
    name = IncomingName(new_instance_id(NOW), 123)
    assert IncomingName.parse(str(name)) == name
    assert name.received_at == NOW.replace(microsecond=891_000)


@pytest.mark.parametrize("name", ["x.dcm", "{id}", "{id}.", "{id}.part"])
def test_another_name_is_not_that_of_a_complete_file(files: FileStore, name: str) -> None:
    (files.incoming / name.format(id=uuid4())).touch()
    assert list_incoming(files.incoming) == []


def test_files_are_listed_from_the_oldest(files: FileStore) -> None:
    young, old = add(files.incoming), add(files.incoming, NOW - timedelta(hours=1))
    (files.incoming / "notes.txt").touch()
    assert list_incoming(files.incoming) == [str(old), str(young)]


def test_the_backlog_includes_stored_files_that_are_not_published_yet(files: FileStore) -> None:
    (files.spool / str(new_instance_id(NOW))).touch()  # still arriving
    assert measure_backlog(files) == Backlog(0, None)
    add(files.incoming)
    old = add(files.spool, NOW - timedelta(minutes=2))
    backlog = measure_backlog(files)
    assert backlog == Backlog(2, old.received_at)
    assert 120 <= backlog.oldest_seconds(NOW) < 120.01


def test_a_store_without_directories_has_no_backlog(tmp_path: Path) -> None:
    assert measure_backlog(FileStore(tmp_path)).oldest_seconds(NOW) == 0
