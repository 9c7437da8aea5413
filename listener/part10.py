"""DICOM files as the listener writes them (PS3.10 7.1): its own file meta, then the data set as
received.
"""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from dicom.errors import NoPixelData
from dicom.files import read_without_pixels
from dicom.images.header import InstanceHeader, parse_header, read_header

_PREAMBLE_BYTES: Final = 128
_PREFIX: Final = b"DICM"
_GROUP_LENGTH: Final = b"\x02\x00\x00\x00UL\x04\x00"  # (0002,0000) UL of 4 bytes
_CHUNK_BYTES: Final = 1 << 20


def read_complete_header(path: Path) -> InstanceHeader:
    """Return the header of an object after checking that its pixels are complete.

    An object without pixels is accepted: the analysis refuses it.

    Raises NotDicom, TruncatedFile, InvalidHeader.
    """
    with suppress(NoPixelData):
        return parse_header(read_without_pixels(path, check_pixels=True))
    return read_header(path)


def has_same_data_set(path: Path, other: Path) -> bool:
    """Whether both files contain the same data set, byte for byte.

    The file meta information is ignored: it is our own and changes with our versions.

    Raises OSError, and ValueError when a file was not written by the listener.
    """
    with path.open("rb") as first, other.open("rb") as second:
        _skip_file_meta(first)
        _skip_file_meta(second)
        while True:
            chunk = first.read(_CHUNK_BYTES)
            if chunk != second.read(_CHUNK_BYTES):
                return False
            if not chunk:
                return True


def _skip_file_meta(stream: BinaryIO) -> None:
    stream.seek(_PREAMBLE_BYTES)
    start = stream.read(len(_PREFIX) + len(_GROUP_LENGTH))
    if start != _PREFIX + _GROUP_LENGTH:
        raise ValueError("not a file that the listener wrote")
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(length, 1)
