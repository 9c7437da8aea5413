"""Small image files that a decoder without limits turns into gigabytes."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making

ABSURD = 20_000
"""Rows and columns, 400 MB for a gray frame."""
SMALL = making.gray()


def write_codestream(path: Path, syntax: str, codestream: bytes, side: int | None = None) -> Path:
    """Write a gray image with a given codestream. Its header has `side` rows and columns, or else
    the size of SMALL."""
    dataset = _small_image()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if side is not None:
        dataset.Rows = dataset.Columns = side
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def declare_jpeg_size(side: int) -> bytes:
    return _set_frame_header(making_jpeg(), b"\xff\xc0", side)


def declare_jpeg_ls_size(side: int) -> bytes:
    return _set_frame_header(_compress(JPEGLSLossless), b"\xff\xf7", side)


def declare_jpeg_2000_size(side: int) -> bytes:
    codestream = bytearray(_compress(JPEG2000Lossless))
    at = codestream.index(b"\xff\x51")
    for offset in (6, 10, 22, 26):  # Xsiz, Ysiz, XTsiz, YTsiz
        struct.pack_into(">L", codestream, at + offset, side)
    return bytes(codestream)


def inflating_rle(size: int, *, segments: int = 1) -> bytes:
    """An RLE frame of `size` bytes that inflates to 64 times as many."""
    offsets = [64] * segments + [0] * (15 - segments)
    return struct.pack("<16L", segments, *offsets) + b"\x81\0" * (size // 2)


DECLARED: dict[str, Callable[[int], bytes]] = {
    JPEGBaseline8Bit: declare_jpeg_size,
    JPEGLSLossless: declare_jpeg_ls_size,
    JPEG2000Lossless: declare_jpeg_2000_size,
}
"""By transfer syntax, a codestream that declares a number of rows and columns."""


def making_jpeg() -> bytes:
    dataset = build_ultrasound_image(
        SMALL, study=making.STUDY, transfer_syntax_uid=JPEGBaseline8Bit
    )
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def write_png_of_declared_size(path: Path, side: int) -> Path:
    """Write a gray PNG with almost no pixels."""
    header = struct.pack(">LLBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    return path


def write_inflating_data_set(path: Path, inflated_bytes: int) -> Path:
    """Write a deflated image with a private value of zeros."""
    dataset = _small_image()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.private_block(0x7001, "TEST", create=True).add_new(1, "UN", bytes(inflated_bytes))
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_many_elements(path: Path, count: int) -> Path:
    """Write an image with private elements that lie before its pixels."""
    pydicom.dcmwrite(path, _small_image(), enforce_file_format=True)
    whole = path.read_bytes()
    at = whole.index(b"\xe0\x7f\x10\0")
    elements = b"".join(
        struct.pack("<HH2sH", 0x0029 + 2 * (n // 60_000), 0x1000 + n % 60_000, b"LO", 0)
        for n in range(count)
    )
    path.write_bytes(whole[:at] + elements + whole[at:])
    return path


def write_nested_sequences(path: Path, depth: int) -> Path:
    dataset = _small_image()
    inner = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    dataset.update(inner)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _small_image() -> Dataset:
    return build_ultrasound_image(SMALL, study=making.STUDY)


def _compress(syntax: str) -> bytes:
    dataset = _small_image()
    dataset.compress(UID(syntax), generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _set_frame_header(codestream: bytes, marker: bytes, side: int) -> bytes:
    at = codestream.index(marker)
    return codestream[: at + 5] + struct.pack(">HH", side, side) + codestream[at + 9 :]
