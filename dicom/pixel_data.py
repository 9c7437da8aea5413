"""Check that the pixel data of a file is complete, without reading it."""

import os
from struct import unpack
from typing import BinaryIO, Final

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from dicom.errors import NoPixelData, TruncatedFile

_PIXEL_DATA: Final = (0x7FE0, 0x0010)
_ITEM: Final = (0xFFFE, 0xE000)
UNDEFINED_LENGTH: Final = 0xFFFFFFFF


def check_pixel_data(stream: BinaryIO, transfer_syntax_uid: str, *, implicit_vr: bool) -> int:
    """Check that a complete Pixel Data element follows in `stream`.

    Returns the offset of its value in the file; 0 if the data set is deflated.

    `stream` must be where `stop_before_pixels` of pydicom leaves it. The cost is one seek per
    fragment (PS3.5 A.4), whatever its size.

    Raises NoPixelData, TruncatedFile.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return 0  # one zlib stream, verified when it is inflated
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    length = _read_length(stream, order, implicit_vr=implicit_vr)
    size = os.fstat(stream.fileno()).st_size
    offset = stream.tell()
    if length == UNDEFINED_LENGTH:
        _check_fragments(stream, size)
    elif offset + length > size:
        raise TruncatedFile
    return offset


def _read_length(stream: BinaryIO, order: str, *, implicit_vr: bool) -> int:
    header = stream.read(8 if implicit_vr else 12)
    if len(header) < 8 or unpack(f"{order}HH", header[:4]) != _PIXEL_DATA:
        raise NoPixelData
    if not implicit_vr and len(header) < 12:
        raise TruncatedFile
    length: int = unpack(f"{order}L", header[-4:])[0]
    return length


def _check_fragments(stream: BinaryIO, size: int) -> None:
    while len(item := stream.read(8)) == 8:
        group, element, length = unpack("<HHL", item)
        if (group, element) != _ITEM:
            return  # the sequence delimiter, or damage that the decoder will report
        if stream.tell() + length > size:
            raise TruncatedFile
        stream.seek(length, os.SEEK_CUR)
