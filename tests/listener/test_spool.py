"""A part on a disk that fails."""

from contextlib import suppress
from pathlib import Path

import pytest
from pynetdicom import _config, dimse_messages

from db.errors import StoreFull
from db.files import FileStore
from listener.spool import Spool


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path)
    store.prepare()
    return store


def test_a_part_holds_what_was_written(files: FileStore) -> None:
    spool = Spool(files)
    part = spool.new_part(delete=False, mode="wb", suffix=".dcm")
    part.write(b"one")
    part.file.flush()
    part.write(b"two")
    part.close()
    path = Path(part.name)
    assert path.parent == files.spool
    assert spool.received(path).read_bytes() == b"onetwo"


def test_a_part_that_nobody_wants_any_more_goes(files: FileStore) -> None:
    part = Spool(files).new_part()
    part.write(b"half of it")
    path = Path(part.name)
    assert path.exists()
    del part
    assert not path.exists()


def test_a_part_that_was_kept_stays_under_its_new_name(files: FileStore) -> None:
    part = Spool(files).new_part()
    kept = Path(part.name).rename(files.root / "kept")
    del part
    assert kept.exists()


def test_a_part_below_the_watermark_is_never_begun(files: FileStore) -> None:
    spool = Spool(FileStore(files.root, min_free_bytes=2**62))
    part = spool.new_part()
    assert part.write(b"passes by") == 9
    part.close()
    assert not list(files.spool.iterdir())
    with pytest.raises(StoreFull):
        spool.received(Path(part.name))


def test_a_spool_that_is_gone_is_told_of_at_the_end(files: FileStore) -> None:
    spool = Spool(files)
    files.spool.rmdir()
    part = spool.new_part()
    assert part.write(b"passes by") == 9
    part.close()
    with pytest.raises(FileNotFoundError):
        spool.received(Path(part.name))


def test_a_full_disk_gives_back_the_room_that_the_part_took(files: FileStore) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("the system has no /dev/full")
    spool = Spool(files)
    part = spool.new_part()
    path = Path(part.name)
    part.write(b"begun")
    path.unlink()
    path.symlink_to(full)
    replaced = type(part)(path, files)  # opens the device that never has room
    assert replaced.write(b"no room") == 7
    assert isinstance(replaced.problem, OSError)
    assert not path.is_symlink()
    replaced.close()
    part.close()


def test_pynetdicom_gets_its_own_back_even_after_a_failure(files: FileStore) -> None:
    before = vars(dimse_messages)["NamedTemporaryFile"]
    with suppress(RuntimeError), Spool(files).installed():
        assert _config.STORE_RECV_CHUNKED_DATASET
        raise RuntimeError
    assert not _config.STORE_RECV_CHUNKED_DATASET
    assert vars(dimse_messages)["NamedTemporaryFile"] is before
