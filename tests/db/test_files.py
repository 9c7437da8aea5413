"""The file store: files are complete or do not exist."""

import hashlib
import os
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest

from db.errors import StoreFull
from db.files import FileStore, StoredFile, conflict_file, instance_file, result_file

ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path / "deep" / "files")
    made.prepare()
    return made


def test_prepare_is_idempotent(store: FileStore) -> None:
    store.write("results/x", b"stored")
    store.prepare()
    assert store.path("results/x").read_bytes() == b"stored"


def test_a_moved_file_has_its_digest_and_leaves_the_spool(store: FileStore) -> None:
    part = store.spool / "x.part"
    part.write_bytes(b"content")
    stored = store.move_from_spool(part, instance_file(ID, date(2026, 3, 4)))
    assert stored == StoredFile(
        f"instances/2026-03-04/{ID}.dcm", hashlib.sha256(b"content").hexdigest(), len(b"content")
    )
    assert store.path(stored.file).read_bytes() == b"content"
    assert not part.exists()


def test_a_file_that_cannot_be_moved_remains_in_the_spool(store: FileStore) -> None:
    part = store.spool / "x.part"
    part.write_bytes(b"content")
    store.path("results/occupied/x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        store.move_from_spool(part, "results/occupied/x")
    assert part.read_bytes() == b"content"


def test_write_replaces_an_existing_file(store: FileStore) -> None:
    store.write("results/a/x", b"old")
    store.write("results/a/x", b"new")
    assert store.path("results/a/x").read_bytes() == b"new"
    assert not list(store.spool.iterdir())


@pytest.mark.parametrize("file", ["../outside", "/etc/passwd", "instances/../../outside"])
def test_a_path_outside_the_store_is_an_error(store: FileStore, file: str) -> None:
    with pytest.raises(ValueError, match="outside the file store"):
        store.path(file)


def test_a_link_to_outside_the_store_is_an_error(store: FileStore, tmp_path: Path) -> None:
    (store.root / "results" / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="outside the file store"):
        store.path("results/link/secret")


def test_an_error_for_a_full_disk_names_the_setting(store: FileStore) -> None:
    store.check_free_space()
    full = FileStore(store.root, min_free_bytes=2**62)
    with pytest.raises(StoreFull, match="SONOGATE_MIN_FREE_BYTES") as caught:
        full.check_free_space()
    assert not caught.value.permanent
    assert caught.value.min_free_bytes == 2**62


def test_only_stale_spool_files_are_removed(store: FileStore) -> None:
    complete = f"{ID}.123"
    for name, written_at in (("old.part", 1000), ("young.part", 3000), (complete, 1000)):
        (store.spool / name).touch()
        os.utime(store.spool / name, (written_at, written_at))
    assert store.remove_stale_spool_files(older_than=2000) == 1
    assert sorted((path.name for path in store.spool.iterdir()), reverse=True) == [
        "young.part",
        complete,
    ]


def test_removing_a_missing_file_is_no_error(store: FileStore) -> None:
    store.write("results/x", b"")
    store.remove("results/x")
    store.remove("results/x")
    assert not store.path("results/x").exists()


def test_file_names_are_ids() -> None:
    assert conflict_file(ID) == f"conflicts/{ID}.dcm"
    assert result_file(ID, "report.dcm") == f"results/{ID}/report.dcm"
