"""DICOM files as the listener writes them (PS3.10 7.1): our file meta, then the data set as sent."""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from dicom.errors import NoPixelData
from dicom.files import read_without_pixels
from dicom.images.header import InstanceHeader, parse_header, read_header

_PREAMBLE: Final = 128
_PREFIX: Final = b"DICM"
_GROUP_LENGTH: Final = b"\x02\x00\x00\x00UL\x04\x00"  # (0002,0000) UL of 4 bytes
_CHUNK_BYTES: Final = 1 << 20


def read_whole(path: Path) -> InstanceHeader:
    """The header of an object that is there to its last byte.

    An object without pixels is taken too: the analysis says that it lacks them.
    Raises NotDicom, TruncatedFile, InvalidHeader.
    """
    with suppress(NoPixelData):
        return parse_header(read_without_pixels(path, check_pixels=True))
    return read_header(path)


def same_data_set(one: Path, other: Path) -> bool:
    """Whether both files hold the same data set, byte for byte.

    The file meta information before it is left out: it is ours, and changes with our versions.
    Raises OSError, and ValueError when one does not begin as our files do.
    """
    with one.open("rb") as first, other.open("rb") as second:
        _skip_meta(first)
        _skip_meta(second)
        while True:
            chunk = first.read(_CHUNK_BYTES)
            if chunk != second.read(_CHUNK_BYTES):
                return False
            if not chunk:
                return True


def _skip_meta(stream: BinaryIO) -> None:
    stream.seek(_PREAMBLE)
    start = stream.read(len(_PREFIX) + len(_GROUP_LENGTH))
    if start != _PREFIX + _GROUP_LENGTH:
        raise ValueError("not a file that the listener wrote")
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(length, 1)
