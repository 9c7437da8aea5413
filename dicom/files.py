"""DICOM files on disk: written whole or not at all."""

import hashlib
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import get_ident

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True)
class WrittenFile:
    """What is on disk: SHA-256 of the file in hex, and its size."""

    path: Path
    sha256: str
    size_bytes: int


def write_dataset(dataset: Dataset, path: Path) -> WrittenFile:
    """Write `dataset` to `path` as a DICOM file: aside, fsynced, then renamed over `path`.

    The transfer syntax is that of `dataset.file_meta`, Explicit VR Little Endian without one.
    Raises OSError when the disk does not take it; `path` is then as it was.
    """
    content = encode(dataset)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.part")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return WrittenFile(path, hashlib.sha256(content).hexdigest(), len(content))


def encode(dataset: Dataset) -> bytes:
    """Return `dataset` as the bytes of a DICOM file (PS3.10 7.1), the same bytes every time."""
    file_meta = FileMetaDataset()
    file_meta.TransferSyntaxUID = _transfer_syntax(dataset)
    file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    whole = Dataset(dataset)
    whole.file_meta = file_meta
    buffer = BytesIO()
    dcmwrite(buffer, whole, enforce_file_format=True)
    return buffer.getvalue()


def _transfer_syntax(dataset: Dataset) -> UID:
    file_meta = getattr(dataset, "file_meta", None) or {}
    return UID(file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
