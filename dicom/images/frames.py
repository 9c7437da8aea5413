"""Frames as the eye sees them: 8-bit gray or RGB arrays, one at a time, out of any encoding."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom.errors import UndecodableFrame, UnsupportedTransferSyntax
from dicom.files import read_dataset, read_without_pixels
from dicom.images.header import InstanceHeader, parse_header

Frame = NDArray[np.uint8]
"""(rows, columns) gray or (rows, columns, 3) RGB."""

# Left to itself pydicom takes gdcm first, at JPEG Baseline three times slower than pillow
_PLUGINS: Final[dict[str, str]] = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",  # of 8 bits: no free decoder takes the 12-bit kind
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
    RLELossless: "pylibjpeg",
}


def can_decode(transfer_syntax_uid: str) -> bool:
    """Tell whether frames of this transfer syntax can be decoded (video cannot)."""
    return transfer_syntax_uid in _PLUGINS


def sample_frames(count: int, limit: int) -> list[int]:
    """Return at most `limit` 0-based indices, evenly spread over `count` frames with both ends.

    A limit of one gives the middle frame. Raises ValueError when either is not positive.
    """
    if count < 1 or limit < 1:
        raise ValueError("count and limit must be positive")
    if limit == 1:
        return [count // 2]
    spread = np.linspace(0, count - 1, min(count, limit))
    return [round(index) for index in spread]


def decode_frames(path: Path, indices: Sequence[int] | None = None) -> Iterator[Frame]:
    """Yield the frames of `path` at the 0-based `indices` (all when None), in that order.

    A frame is (rows, columns) or (rows, columns, 3) RGB, uint8. Gray of more than 8 bits goes
    through its VOI window, or is stretched from its least to its greatest value when it has none.
    One frame at a time is in memory, however long the cine.

    Raises NotDicom, TruncatedFile, InvalidHeader, NoPixelData, UnsupportedTransferSyntax at the
    first frame, and UndecodableFrame at the frame that it names; a caller may go on after it by
    asking for the rest.
    """
    dataset = read_without_pixels(path, check_pixels=True)
    header = parse_header(dataset)
    _check_syntax(header)
    wanted = range(header.number_of_frames) if indices is None else indices
    _check_indices(wanted, header.number_of_frames)
    if wanted:
        yield from _decode(path, dataset, header, wanted)


def _check_syntax(header: InstanceHeader) -> None:
    syntax = header.transfer_syntax_uid
    if not can_decode(syntax):
        raise UnsupportedTransferSyntax(syntax)
    if syntax == JPEGExtended12Bit and header.bits_allocated > 8:
        raise UnsupportedTransferSyntax(syntax, "JPEG Extended of 12 bits")


def _check_indices(indices: Sequence[int], count: int) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise UndecodableFrame(index, f"the object has only {count}")


def _decode(
    path: Path, dataset: Dataset, header: InstanceHeader, indices: Sequence[int]
) -> Iterator[Frame]:
    stored = _stored_frames(path, header, indices)
    as_seen: Callable[[NDArray[np.generic]], Frame] | None = None
    for index in indices:
        try:
            frame = next(stored)
            as_seen = as_seen or _converter(dataset, header)
            seen = as_seen(frame)
        except Exception as error:  # decoders raise whatever they like
            raise UndecodableFrame(index) from error
        if seen.shape[:2] != (header.rows, header.columns):
            raise UndecodableFrame(index, "its size is not the header's")
        yield seen


def _stored_frames(
    path: Path, header: InstanceHeader, indices: Sequence[int]
) -> Iterator[NDArray[np.generic]]:
    # pydicom cannot seek in a deflated file: that one syntax costs the memory of the whole object
    deflated = header.transfer_syntax_uid == DeflatedExplicitVRLittleEndian
    source = read_dataset(path) if deflated else path
    return iter_pixels(
        source, indices=indices, decoding_plugin=_PLUGINS[header.transfer_syntax_uid]
    )


def _converter(dataset: Dataset, header: InstanceHeader) -> Callable[[NDArray[np.generic]], Frame]:
    match header.photometric_interpretation:
        case "PALETTE COLOR":
            table = _palette(dataset, header)
            return lambda frame: table[frame]
        case "MONOCHROME1":
            return lambda frame: 255 - _gray(frame, dataset, header)
        case "MONOCHROME2":
            return lambda frame: _gray(frame, dataset, header)
        case "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT":  # all RGB by now
            return lambda frame: _eight_bits(frame, header.bits_stored)
        case _:
            raise ValueError("no rule for this photometric interpretation")


def _palette(dataset: Dataset, header: InstanceHeader) -> Frame:
    """Return the color of every pixel value, (2**bits, 3), RGB (PS3.3 C.7.6.3.1.5)."""
    if header.bits_allocated not in (8, 16):
        raise ValueError("no palette has that many entries")
    values = np.arange(2**header.bits_allocated, dtype=f"u{header.bits_allocated // 8}")
    colors = apply_color_lut(values[np.newaxis], dataset)[0]
    # some machines declare 16-bit entries and fill in 8-bit ones
    return _eight_bits(colors, 16 if colors.max() > 255 else 8)


def _eight_bits(values: NDArray[np.generic], bits: int) -> Frame:
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    return (values.astype(np.uint64) >> np.uint64(max(0, bits - 8))).astype(np.uint8)


def _gray(frame: NDArray[np.generic], dataset: Dataset, header: InstanceHeader) -> Frame:
    values = np.asarray(apply_modality_lut(frame, dataset))
    window = _window(dataset)
    if window is None and values.dtype == np.uint8:
        return values
    share = _windowed(values, *window) if window else _stretched(values)
    return np.rint(255 * share).astype(np.uint8)


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Return center, width and function of the first VOI window, None without a usable one."""
    center, width = (_first(dataset, f"Window{part}") for part in ("Center", "Width"))
    if center is None or width is None or width < 1:
        return None
    return center, width, str(dataset.get("VOILUTFunction") or "LINEAR")


def _first(dataset: Dataset, keyword: str) -> float | None:
    value = dataset.get(keyword)
    values = value if isinstance(value, MultiValue) else [value]
    return None if not values or values[0] is None else float(values[0])


def _windowed(
    values: NDArray[np.generic], center: float, width: float, function: str
) -> NDArray[np.float64]:
    """Return the display share in [0, 1] (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    offset = values.astype(np.float64) - center
    match function:
        case "SIGMOID":
            return 1 / (1 + np.exp(-4 * offset / width))
        case "LINEAR_EXACT":
            return np.clip(offset / width + 0.5, 0, 1)
        case _:
            return np.clip((offset + 0.5) / max(width - 1, np.finfo(float).tiny) + 0.5, 0, 1)


def _stretched(values: NDArray[np.generic]) -> NDArray[np.float64]:
    numbers = values.astype(np.float64)
    low, high = numbers.min(), numbers.max()
    return (numbers - low) / (high - low) if high > low else np.zeros_like(numbers)
