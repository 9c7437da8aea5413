"""Where the pixels lie in a file, and whether all of them are there, without reading any."""

import os
from struct import unpack
from typing import BinaryIO, Final

from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom.errors import NoPixelData, TruncatedFile

_PIXEL_DATA: Final = (0x7FE0, 0x0010)
_ITEM: Final = (0xFFFE, 0xE000)
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF


def check_pixel_data(stream: BinaryIO, transfer_syntax_uid: str, *, implicit_vr: bool) -> None:
    """Check that the pixel data element at `stream`'s position is there, and there to its end.

    `stream` must stand where pydicom's `stop_before_pixels` leaves it. Raises NoPixelData or
    TruncatedFile. Costs a seek per fragment (PS3.5 A.4), whatever their size.
    """
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return  # one zlib stream: its own checksum speaks when it is inflated
    order = ">" if transfer_syntax_uid == "1.2.840.10008.1.2.2" else "<"
    length = _element_length(stream, order, implicit_vr=implicit_vr)
    size = os.fstat(stream.fileno()).st_size
    if length == _UNDEFINED_LENGTH:
        _check_fragments(stream, size)
    elif stream.tell() + length > size:
        raise TruncatedFile


def _element_length(stream: BinaryIO, order: str, *, implicit_vr: bool) -> int:
    start = stream.read(8 if implicit_vr else 12)
    if len(start) < 8 or unpack(f"{order}HH", start[:4]) != _PIXEL_DATA:
        raise NoPixelData
    if not implicit_vr and len(start) < 12:
        raise TruncatedFile
    length: int = unpack(f"{order}L", start[-4:])[0]
    return length


def _check_fragments(stream: BinaryIO, size: int) -> None:
    while len(item := stream.read(8)) == 8:
        group, element, length = unpack("<HHL", item)
        if (group, element) != _ITEM:
            return  # the sequence delimiter; whatever else stands here, the decoder will say
        if stream.tell() + length > size:
            raise TruncatedFile
        stream.seek(length, os.SEEK_CUR)
