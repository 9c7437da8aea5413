"""Incoming files: checked, durable, and gone after an error."""

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)

from db.errors import BacklogTooLong, StoreFull
from db.files import FileStore
from db.incoming import IncomingName, list_incoming
from dicom.errors import InvalidHeader, LimitExceeded, TruncatedFile
from dicom.images.header import read_header
from listener.errors import IdentityMismatch
from listener.incoming_files import IncomingFile, IncomingFiles, Origin
from listener.origin import parse_file_meta
from tests.listener.images import image

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
"""When the objects are received."""


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "files")
    store.prepare()
    return store


def origin_of(dataset: Dataset, **changes: str) -> Origin:
    values = {
        "sop_class_uid": dataset.SOPClassUID,
        "sop_instance_uid": dataset.SOPInstanceUID,
        "transfer_syntax_uid": dataset.file_meta.TransferSyntaxUID,
    } | changes
    return Origin(
        **values,
        calling_ae="MODALITY",
        called_ae="SONOGATE",
        address="10.0.0.7",
        received_at=NOW,
        stable_after=timedelta(seconds=15),
    )


def data_set(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    return content[parse_file_meta(content).data_set_offset :]


def receive(files: FileStore, dataset: Dataset, **changes: str) -> IncomingFile:
    """Write a data set in parts, up to the answer."""
    incoming = IncomingFiles(files).create(origin_of(dataset, **changes))
    content = data_set(dataset)
    for start in range(0, len(content), 1000):
        incoming.write(memoryview(content)[start : start + 1000])
    return incoming


def spooled(files: FileStore) -> list[str]:
    return sorted(path.name for path in files.spool.iterdir())


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEGBaseline8Bit,
    ],
)
def test_an_object_becomes_a_file_that_says_where_it_came_from(
    files: FileStore, syntax: str
) -> None:
    dataset = image(transfer_syntax=syntax)
    incoming = receive(files, dataset)
    assert list_incoming(files.spool) == []
    incoming.store()
    (name,) = list_incoming(files.spool)
    incoming.publish()
    assert spooled(files) == []
    assert list_incoming(files.incoming) == [name]
    path = files.incoming / name
    content = path.read_bytes()
    assert len(content) == IncomingName.parse(name).size_bytes
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0  # no one else reads patient data
    meta = parse_file_meta(content)
    assert content[meta.data_set_offset :] == data_set(dataset)
    assert meta.origin == origin_of(dataset)
    assert read_header(path).sop_instance_uid == dataset.SOPInstanceUID


@pytest.mark.parametrize("keyword", ["sop_instance_uid", "sop_class_uid"])
def test_an_object_other_than_announced_is_refused(files: FileStore, keyword: str) -> None:
    incoming = receive(files, image(), **{keyword: generate_uid()})
    with pytest.raises(IdentityMismatch):
        incoming.store()
    assert spooled(files) == []


def test_an_object_without_a_study_is_refused(files: FileStore) -> None:
    with pytest.raises(InvalidHeader, match="StudyInstanceUID is missing"):
        receive(files, image(StudyInstanceUID=None)).store()
    assert spooled(files) == []


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_an_object_without_its_last_byte_is_refused(files: FileStore, syntax: str) -> None:
    dataset = image(transfer_syntax=syntax)
    incoming = IncomingFiles(files).create(origin_of(dataset))
    incoming.write(data_set(dataset)[:-1])
    with pytest.raises(TruncatedFile):
        incoming.store()
    assert spooled(files) == []


def test_a_deflated_object_over_the_limit_is_refused(files: FileStore) -> None:
    dataset = image(transfer_syntax=DeflatedExplicitVRLittleEndian, size_bytes=64 * 2000)
    incoming = IncomingFiles(files, max_inflated_bytes=100_000).create(origin_of(dataset))
    incoming.write(data_set(dataset))
    with pytest.raises(LimitExceeded):
        incoming.store()
    assert spooled(files) == []


def test_a_discarded_file_is_removed_and_may_be_discarded_again(files: FileStore) -> None:
    incoming = receive(files, image())
    assert len(spooled(files)) == 1
    incoming.discard()
    incoming.discard()
    assert spooled(files) == []


def test_a_stored_object_is_never_discarded(files: FileStore) -> None:
    """Its Success may have been answered."""
    incoming = receive(files, image())
    incoming.store()
    incoming.discard()
    incoming.publish()
    assert len(list_incoming(files.incoming)) == 1


def test_a_file_that_the_indexer_moved_first_is_no_error(files: FileStore) -> None:
    incoming = receive(files, image())
    incoming.store()
    (name,) = list_incoming(files.spool)
    (files.spool / name).rename(files.incoming / name)
    incoming.publish()
    assert list_incoming(files.incoming) == [name]


def test_a_file_that_cannot_be_published_remains_in_the_spool(
    files: FileStore, caplog: pytest.LogCaptureFixture
) -> None:
    files.incoming.rmdir()
    files.incoming.write_bytes(b"in the way")
    incoming = receive(files, image())
    incoming.store()
    incoming.publish()
    assert len(list_incoming(files.spool)) == 1
    assert "remains in the spool" in caplog.text


# ------------------------------------------------------------------------------ failing disks


def test_no_file_is_created_with_too_little_free_space(files: FileStore) -> None:
    full = FileStore(files.root, min_free_bytes=2**62)
    with pytest.raises(StoreFull):
        IncomingFiles(full).create(origin_of(image()))
    assert spooled(files) == []


def test_no_file_is_created_when_the_backlog_is_too_long(files: FileStore) -> None:
    incoming_files = IncomingFiles(files, max_backlog_files=1)
    first = incoming_files.create(origin_of(image()))
    first.discard()
    incoming = receive(files, image())
    incoming.store()
    incoming.publish()
    with pytest.raises(BacklogTooLong, match="SONOGATE_DICOM_MAX_BACKLOG_FILES"):
        IncomingFiles(files, max_backlog_files=1).create(origin_of(image()))


def test_a_missing_directory_is_an_error(files: FileStore) -> None:
    files.spool.rmdir()
    with pytest.raises(FileNotFoundError):
        IncomingFiles(files).create(origin_of(image()))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[FileStore]:
    """A store on a file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    store = FileStore(disk)
    store.prepare()
    yield store
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_removes_the_file(tiny_disk: FileStore) -> None:
    incoming = IncomingFiles(tiny_disk).create(origin_of(image()))
    with pytest.raises(OSError, match="No space left"):
        incoming.write(bytes(2 << 20))
    assert spooled(tiny_disk) == []
    incoming.discard()


def test_too_little_space_during_a_transfer_removes_the_file(files: FileStore) -> None:
    filling = FileStore(files.root)
    incoming = IncomingFiles(filling).create(origin_of(image()))
    filling.min_free_bytes = 2**62
    incoming.write(bytes(1 << 20))  # is noticed every few megabytes
    with pytest.raises(StoreFull):
        incoming.write(bytes(16 << 20))
    assert spooled(files) == []


# ------------------------------------------------------------------------------ order of operations


def test_the_file_is_flushed_after_its_rename_and_before_it_is_published(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append(f"to {Path(target).parent.name}")
        real_rename(source, target)

    incoming = receive(files, image())
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    incoming.store()
    assert calls == ["to spool", "file", "directory"]
    incoming.publish()
    assert calls[3:] == ["to incoming"]
