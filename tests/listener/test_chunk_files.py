"""Temporary files of pynetdicom on working and on failing disks."""

from contextlib import suppress
from pathlib import Path

import pytest
from pynetdicom import _config, dimse_messages

from db.errors import StoreFull
from db.files import FileStore
from listener.chunk_files import ChunkFiles


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path)
    store.prepare()
    return store


def test_a_file_contains_what_was_written(files: FileStore) -> None:
    chunk_files = ChunkFiles(files)
    incoming = chunk_files.create(delete=False, mode="wb", suffix=".dcm")
    incoming.write(b"one")
    incoming.file.flush()
    incoming.write(b"two")
    incoming.close()
    path = Path(incoming.name)
    assert path.parent == files.spool
    chunk_files.check(path)
    assert path.read_bytes() == b"onetwo"


def test_a_file_without_references_is_removed(files: FileStore) -> None:
    incoming = ChunkFiles(files).create()
    incoming.write(b"half of it")
    path = Path(incoming.name)
    assert path.exists()
    del incoming
    assert not path.exists()


def test_a_renamed_file_is_not_removed(files: FileStore) -> None:
    incoming = ChunkFiles(files).create()
    stored = Path(incoming.name).rename(files.root / "stored")
    del incoming
    assert stored.exists()


def test_no_file_is_opened_with_too_little_free_space(files: FileStore) -> None:
    chunk_files = ChunkFiles(FileStore(files.root, min_free_bytes=2**62))
    incoming = chunk_files.create()
    assert incoming.write(b"discarded") == 9
    incoming.close()
    assert not list(files.spool.iterdir())
    with pytest.raises(StoreFull):
        chunk_files.check(Path(incoming.name))


def test_a_missing_directory_is_reported_by_the_check(files: FileStore) -> None:
    chunk_files = ChunkFiles(files)
    files.spool.rmdir()
    incoming = chunk_files.create()
    assert incoming.write(b"discarded") == 9
    incoming.close()
    with pytest.raises(FileNotFoundError):
        chunk_files.check(Path(incoming.name))


def test_a_full_disk_removes_the_file(files: FileStore) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("the system has no /dev/full")
    chunk_files = ChunkFiles(files)
    incoming = chunk_files.create()
    path = Path(incoming.name)
    incoming.write(b"begun")
    path.unlink()
    path.symlink_to(full)
    replaced = type(incoming)(path, files)  # opens the device that never has room
    assert replaced.write(b"no room") == 7
    assert isinstance(replaced.error, OSError)
    assert not path.is_symlink()
    replaced.close()
    incoming.close()


def test_pynetdicom_is_restored_even_after_an_error(files: FileStore) -> None:
    before = vars(dimse_messages)["NamedTemporaryFile"]
    with suppress(RuntimeError), ChunkFiles(files).installed():
        assert _config.STORE_RECV_CHUNKED_DATASET
        raise RuntimeError
    assert not _config.STORE_RECV_CHUNKED_DATASET
    assert vars(dimse_messages)["NamedTemporaryFile"] is before
