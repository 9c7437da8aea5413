"""DICOM files (PS3.10): read without surprises, written completely or not at all."""

import hashlib
import logging
import os
import threading
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from struct import unpack
from typing import BinaryIO, Final

from pydicom import config, dcmread, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom.data_set_walk import LONG_VRS, walk_data_set
from dicom.errors import InvalidHeader, LimitExceeded, NotDicom, TruncatedFile
from dicom.pixel_data import UNDEFINED_LENGTH, check_pixel_data
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE_BYTES: Final = 128
_MAX_META_ELEMENTS: Final = 100
# catch_warnings replaces the filters of the process: two threads would restore the wrong ones
_read_lock: Final = threading.Lock()


@dataclass(frozen=True)
class WrittenFile:
    """A file on disk with its SHA-256 in hex and its size."""

    path: Path
    sha256: str
    size_bytes: int


def suppress_value_logging() -> None:
    """Keep patient data and UIDs out of the log.

    pydicom's validation warnings quote values; highdicom logs the UID of the source instance at
    level INFO.
    """
    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("highdicom").setLevel(logging.WARNING)


def read_dataset(path: Path) -> FileDataset:
    """Read the data set of `path` including its pixels. Meant for result objects, not for cines.

    Raises NotDicom, TruncatedFile, InvalidHeader, LimitExceeded; OSError when the file itself
    cannot be read.
    """
    with path.open("rb") as stream:
        return _read(stream, stop_before_pixels=False)


def read_without_pixels(path: Path, *, check_pixels: bool = False) -> FileDataset:
    """Read the data set of `path` up to its pixels.

    With `check_pixels`, also verify that the pixels are complete, without reading them.

    Raises as `read_dataset`, and NoPixelData with `check_pixels`.
    """
    if check_pixels:
        return find_pixels(path)[0]
    with path.open("rb") as stream:
        return _read(stream, stop_before_pixels=True)


def find_pixels(path: Path) -> tuple[FileDataset, int]:
    """Read the data set of `path` up to its pixels, and verify that these are complete.

    The number is the offset of the value of Pixel Data in the file; 0 if the data set is deflated.
    Raises as `read_dataset`, and NoPixelData.
    """
    with path.open("rb") as stream:
        dataset = _read(stream, stop_before_pixels=True)
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        implicit_vr, _ = dataset.original_encoding
        return dataset, check_pixel_data(stream, syntax, implicit_vr=bool(implicit_vr))


def write_dataset(dataset: Dataset, path: Path) -> WrittenFile:
    """Write `dataset` to a temporary file, flush it to disk and rename it to `path`.

    The transfer syntax is that of `dataset.file_meta`, by default Explicit VR Little Endian.
    Raises OSError when the file cannot be written; `path` is then unchanged.
    """
    content = encode(dataset)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return WrittenFile(path, hashlib.sha256(content).hexdigest(), len(content))


def encode(dataset: Dataset) -> bytes:
    """Return `dataset` as the bytes of a DICOM file (PS3.10 7.1), the same bytes every time."""
    own_meta = getattr(dataset, "file_meta", None) or {}
    file_meta = FileMetaDataset()
    file_meta.TransferSyntaxUID = UID(own_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian))
    file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    copy = Dataset(dataset)
    copy.file_meta = file_meta
    buffer = BytesIO()
    dcmwrite(buffer, copy, enforce_file_format=True)
    return buffer.getvalue()


def _read(stream: BinaryIO, *, stop_before_pixels: bool) -> FileDataset:
    suppress_value_logging()
    _check_limits(stream)
    try:
        with _read_lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = dcmread(stream, stop_before_pixels=stop_before_pixels)
    except InvalidDicomError as error:
        raise NotDicom from error
    except EOFError as error:
        raise TruncatedFile from error
    except OSError as error:
        if error.errno is not None:  # pydicom raises OSError without a number at an early end
            raise
        raise TruncatedFile from error
    except Exception as error:  # damaged bytes can raise any type
        raise InvalidHeader("structure", "damaged beyond reading") from error
    if any("end of file" in str(warning.message) for warning in caught) or _is_cut_off(dataset):
        raise TruncatedFile
    return dataset


def _check_limits(stream: BinaryIO) -> None:
    """Check the limits of `WalkLimits`, which pydicom does not have. Raises LimitExceeded.

    What else may be wrong with the file is left to pydicom.
    """
    start = stream.tell()
    try:
        syntax, offset = _skip_file_meta(stream)

        def read_at(at: int, count: int) -> bytes:
            stream.seek(offset + at)
            return stream.read(count)

        walk_data_set(read_at, syntax, ())
    except (NotDicom, TruncatedFile):
        pass
    finally:
        stream.seek(start)


def _skip_file_meta(stream: BinaryIO) -> tuple[str, int]:
    """Return the transfer syntax and where the data set starts (PS3.10 7.1)."""
    stream.seek(_PREAMBLE_BYTES)
    if stream.read(4) != b"DICM":
        raise NotDicom
    syntax = ""
    for _ in range(_MAX_META_ELEMENTS):
        offset = stream.tell()
        header = stream.read(8)
        if len(header) < 8:
            raise TruncatedFile
        group, element, vr, length = unpack("<HH2sH", header)
        if group != 2:
            return syntax, offset
        if vr in LONG_VRS:
            length = int.from_bytes(stream.read(4), "little")
        if element == 0x0010:
            syntax = stream.read(length).decode("ascii", "replace").strip("\0 ")
        else:
            stream.seek(length, os.SEEK_CUR)
    raise LimitExceeded("elements of file meta information", _MAX_META_ELEMENTS)


def _is_cut_off(dataset: FileDataset) -> bool:
    """Whether the last value is shorter than its length: pydicom does not check this."""
    last = next(reversed(list(dataset.values())), None)
    if not isinstance(last, RawDataElement) or last.length == UNDEFINED_LENGTH:
        return False
    return len(last.value or b"") < last.length
