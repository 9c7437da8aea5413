"""Check what a compressed frame declares to be, before a decoder allocates memory for it.

Decoders believe the size in the frame's own header: a JPEG-LS frame of a few hundred bytes can make
them allocate gigabytes. RLE has no size of its own; its segments are measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import error as StructError  # noqa: N812  # it is an exception
from struct import unpack_from
from typing import Final

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    RLELossless,
)

from dicom.images.limits import check_frame_bytes

_JPEG_2000: Final = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_BITS_PER_BYTE: Final = 8

# JPEG (ITU-T T.81 B.1) and JPEG-LS (T.87 C.1)
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN: Final = 0xDA
_LS_PARAMETERS: Final = 0xF8
_OVERSIZE_DIMENSIONS: Final = 4
_STANDALONE_MARKERS: Final = frozenset(range(0xD0, 0xD9)) | {0x01}

# JPEG 2000 (ITU-T T.800 A.5.1, I.4)
_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE: Final = b"\0\0\0\x0cjP  "

_RLE_HEADER_BYTES: Final = 64
_RLE_MAX_SEGMENTS: Final = 15
_RLE_SLACK: Final = 2
"""A segment may hold this many times the samples of its plane: some encoders pad rows."""

_HIGHEST_RATIO: Final = 1000
_SMALL_FRAME_BYTES: Final = 16_000_000
"""A larger frame that is compressed further than this ratio holds nothing. Smaller ones may be
black."""


class CodestreamMismatch(ValueError):
    """Raised when a frame is not of the size that its object's header gives."""


class CodestreamTooShort(ValueError):
    """Raised when a frame has too few bytes for its size."""


@dataclass(frozen=True)
class FrameSize:
    """The size of a frame as its object or its codestream declares it."""

    rows: int
    columns: int
    samples: int
    bits: int
    """Allocated for each sample; in a codestream the precision, which is not more."""

    @property
    def size_bytes(self) -> int:
        return self.rows * self.columns * self.samples * -(-self.bits // _BITS_PER_BYTE)


def check_codestream(codestream: bytes, transfer_syntax_uid: str, expected: FrameSize) -> None:
    """Check that a compressed frame declares the expected size.

    Raises:
        CodestreamMismatch: It declares another size, or several.
        CodestreamTooShort: It cannot hold that many pixels.
        FrameTooLarge: Its precision makes it larger than the limit.
        ValueError: Its header is damaged.
    """
    if transfer_syntax_uid == RLELossless:
        _check_rle(codestream, expected)
        return
    try:
        if transfer_syntax_uid in _JPEG_2000:
            sizes = [_read_jpeg_2000_size(codestream)]
        else:
            sizes = list(_read_jpeg_sizes(codestream))
    except (StructError, IndexError) as error:
        raise ValueError("the codestream ends in its header") from error
    if not sizes:
        raise ValueError("the codestream does not declare a size")
    for size in sizes:
        declared = size.rows, size.columns, size.samples
        if declared != (expected.rows, expected.columns, expected.samples):
            raise CodestreamMismatch
        check_frame_bytes(*declared, size.bits)
        largest = max(_SMALL_FRAME_BYTES, _HIGHEST_RATIO * len(codestream))
        if size.size_bytes > largest:
            raise CodestreamTooShort


def _read_jpeg_sizes(codestream: bytes) -> Iterator[FrameSize]:
    """Yield the size of each frame header before the first scan. There should be one."""
    at = 2  # after SOI
    while True:
        if codestream[at] != 0xFF:
            raise ValueError("no marker where one must be")
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _START_OF_SCAN:
            return
        at += 2
        if marker in _STANDALONE_MARKERS:
            continue
        (length,) = unpack_from(">H", codestream, at)
        if length < 2:
            raise ValueError("a marker segment is too short")
        if marker in _FRAME_HEADERS:
            bits, rows, columns, samples = unpack_from(">BHHB", codestream, at + 2)
            yield FrameSize(rows, columns, samples, bits)
        elif marker == _LS_PARAMETERS and codestream[at + 2] == _OVERSIZE_DIMENSIONS:
            raise CodestreamMismatch  # more than 65,535 rows or columns
        at += length


def _read_jpeg_2000_size(codestream: bytes) -> FrameSize:
    start = 0
    if codestream.startswith(_JP2_SIGNATURE):  # PS3.5 A.4.4 forbids the file format, some write it
        start = codestream.find(_SIZ)
    if start < 0 or codestream[start : start + 4] != _SIZ:
        raise ValueError("no JPEG 2000 codestream")
    right, bottom, left, top = unpack_from(">4L", codestream, start + 8)
    samples, depth = unpack_from(">HB", codestream, start + 40)
    return FrameSize(bottom - top, right - left, samples, (depth & 0x7F) + 1)


def _check_rle(codestream: bytes, expected: FrameSize) -> None:
    """Check number and length of the segments (PS3.5 G.3 to G.5), and what they inflate to."""
    try:
        count, *offsets = unpack_from("<16L", codestream)
    except StructError as error:
        raise ValueError("the RLE header is cut off") from error
    if count > _RLE_MAX_SEGMENTS:
        raise ValueError("more segments than RLE can have")
    if count != expected.samples * -(-expected.bits // _BITS_PER_BYTE):
        raise CodestreamMismatch
    bounds = [*offsets[:count], len(codestream)]
    if bounds[0] < _RLE_HEADER_BYTES or bounds != sorted(bounds):
        raise ValueError("segments overlap")
    samples = expected.rows * expected.columns
    for start, end in pairwise(bounds):
        decoded = _count_unpacked(codestream, start, end, _RLE_SLACK * samples)
        if decoded < samples:
            raise CodestreamTooShort
        if decoded > _RLE_SLACK * samples:
            raise CodestreamMismatch


def _count_unpacked(codestream: bytes, start: int, end: int, limit: int) -> int:
    """Return to how many bytes a segment inflates (PS3.5 G.3.2), or some number above `limit`."""
    at, count = start, 0
    while at < end and count <= limit:
        code = codestream[at]
        if code < 128:  # the next bytes as they are
            at += code + 2
            count += code + 1
        elif code > 128:  # one byte, repeated
            at += 2
            count += 257 - code
        else:
            at += 1
    return count
