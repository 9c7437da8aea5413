"""Frames as displayed: 8-bit gray or RGB arrays, decoded one at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import as_pixel_options, iter_pixels
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

from dicom.errors import (
    FrameSizeMismatch,
    FrameTooLarge,
    UndecodableFrame,
    UnsupportedTransferSyntax,
)
from dicom.files import find_pixels, read_dataset
from dicom.images.codestreams import (
    CodestreamMismatch,
    CodestreamTooShort,
    FrameSize,
    check_codestream,
)
from dicom.images.decoder_pool import decode_elsewhere
from dicom.images.header import InstanceHeader, parse_header
from dicom.images.limits import check_frame_bytes

Frame = NDArray[np.uint8]
"""(rows, columns) gray or (rows, columns, 3) RGB."""

# By default pydicom prefers gdcm, which decodes JPEG Baseline three times slower than pillow
_PLUGINS: Final[dict[str, str]] = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",  # 8 bits only: no free decoder reads 12 bits
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
    """Whether frames of this transfer syntax can be decoded. Video cannot."""
    return transfer_syntax_uid in _PLUGINS


def sample_frames(count: int, limit: int) -> list[int]:
    """Return at most `limit` 0-based indices, evenly spread over `count` frames.

    The first and the last frame are included; a limit of 1 gives the middle frame. Raises
    ValueError when `count` or `limit` is not positive.
    """
    if count < 1 or limit < 1:
        raise ValueError("count and limit must be positive")
    if limit == 1:
        return [count // 2]
    spread = np.linspace(0, count - 1, min(count, limit))
    return [round(index) for index in spread]


def decode_frames(path: Path, indices: Sequence[int] | None = None) -> Iterator[Frame]:
    """Yield the frames of `path` at the 0-based `indices` in that order, by default all.

    A frame is (rows, columns) or (rows, columns, 3) RGB, uint8. Gray of more than 8 bits is
    displayed through its first VOI window, or without one from its minimum to its maximum. Only one
    frame is in memory at a time, and a second one if they are compressed: another process decodes
    these (`dicom.images.decoder_pool`).

    Raises NotDicom, TruncatedFile, InvalidHeader, LimitExceeded, NoPixelData, FrameTooLarge and
    UnsupportedTransferSyntax at the first frame, and UndecodableFrame, FrameSizeMismatch,
    FrameTimeout or DecoderCrashed at the frame that it names. A caller may then ask for the
    remaining frames. Raises OSError if the file cannot be read or no process can be started.
    """
    image = _open_image(path)
    wanted = _check_indices(image.header, indices)
    if not wanted:
        return
    if _is_native(image.header):
        yield from _decode(image, wanted)
    else:
        yield from decode_elsewhere(path, wanted, (image.header.rows, image.header.columns))


def decode_here(path: Path, indices: Sequence[int]) -> Iterator[Frame]:
    """As `decode_frames`, always in this process: without deadline and limit of memory."""
    image = _open_image(path)
    yield from _decode(image, _check_indices(image.header, indices))


@dataclass(frozen=True)
class _OpenImage:
    path: Path
    dataset: Dataset
    header: InstanceHeader
    offset: int
    """Of the value of Pixel Data in the file."""


def _open_image(path: Path) -> _OpenImage:
    dataset, offset = find_pixels(path)
    header = parse_header(dataset)
    syntax = header.transfer_syntax_uid
    if not can_decode(syntax):
        raise UnsupportedTransferSyntax(syntax)
    if syntax == JPEGExtended12Bit and header.bits_allocated > 8:
        raise UnsupportedTransferSyntax(syntax, "JPEG Extended with 12 bits")
    check_frame_size(header)
    return _OpenImage(path, dataset, header, offset)


def _check_indices(header: InstanceHeader, indices: Sequence[int] | None) -> Sequence[int]:
    count = header.number_of_frames
    wanted = range(count) if indices is None else indices
    for index in wanted:
        if not 0 <= index < count:
            raise UndecodableFrame(index, f"the object has only {count}")
    return wanted


def _is_native(header: InstanceHeader) -> bool:
    """Whether frames can be read one by one, which takes no decoder."""
    syntax = header.transfer_syntax_uid
    return not _PLUGINS[syntax] and syntax != DeflatedExplicitVRLittleEndian


def _decode(image: _OpenImage, indices: Sequence[int]) -> Iterator[Frame]:
    syntax = image.header.transfer_syntax_uid
    if _PLUGINS[syntax]:
        stored = _decode_codestreams(image, indices)
    else:
        # pydicom cannot seek in a deflated file: it needs the memory of the whole object
        is_deflated = syntax == DeflatedExplicitVRLittleEndian
        source = read_dataset(image.path) if is_deflated else image.path
        stored = iter_pixels(source, indices=indices)
    yield from _to_display(stored, image.dataset, image.header, indices)


def check_frame_size(header: InstanceHeader) -> None:
    """Raise FrameTooLarge if the frames of an object would be larger than the limit."""
    check_frame_bytes(header.rows, header.columns, header.samples_per_pixel, header.bits_allocated)


def _decode_codestreams(image: _OpenImage, indices: Sequence[int]) -> Iterator[NDArray[np.generic]]:
    """Check and decode compressed frames."""
    header = image.header
    syntax = header.transfer_syntax_uid
    size = FrameSize(header.rows, header.columns, header.samples_per_pixel, header.bits_allocated)
    decoder = get_decoder(syntax)
    options: dict[str, Any] = as_pixel_options(image.dataset)
    offsets = options.pop("extended_offsets", None)
    count = options["number_of_frames"]
    options |= {"number_of_frames": 1, "pixel_keyword": "PixelData"}
    with image.path.open("rb") as stream:
        for index in indices:
            stream.seek(image.offset)
            codestream = get_frame(stream, index, extended_offsets=offsets, number_of_frames=count)
            check_codestream(codestream, syntax, size)
            pixels, _ = decoder.as_array(
                encapsulate([codestream]),
                index=0,
                decoding_plugin=_PLUGINS[syntax],
                **options,
            )
            yield pixels


def _to_display(
    stored: Iterator[NDArray[np.generic]],
    dataset: Dataset,
    header: InstanceHeader,
    indices: Sequence[int],
) -> Iterator[Frame]:
    convert: Callable[[NDArray[np.generic]], Frame] | None = None
    for index in indices:
        try:
            pixels = next(stored)
            convert = convert or _build_converter(dataset, header)
            frame = convert(pixels)
        except FrameTooLarge:  # by the precision of its codestream
            raise
        except CodestreamMismatch as error:
            raise FrameSizeMismatch(index) from error
        except CodestreamTooShort as error:
            raise UndecodableFrame(index, "it is too short for its size") from error
        except MemoryError as error:
            raise UndecodableFrame(index, "it needs too much memory") from error
        except Exception as error:  # decoders raise errors of any type
            raise UndecodableFrame(index) from error
        if frame.shape[:2] != (header.rows, header.columns):
            raise FrameSizeMismatch(index)
        yield frame


def _build_converter(
    dataset: Dataset, header: InstanceHeader
) -> Callable[[NDArray[np.generic]], Frame]:
    match header.photometric_interpretation:
        case "PALETTE COLOR":  # PS3.3 C.7.6.3.1.5
            bits = header.bits_allocated
            if bits not in (8, 16):
                raise ValueError("a palette has 8 or 16 bits")
            values = np.arange(2**bits, dtype=f"u{bits // 8}")
            colors = apply_color_lut(values[np.newaxis], dataset)[0]
            # some machines declare 16-bit entries and store 8-bit ones
            table = _to_eight_bits(colors, 16 if colors.max() > 255 else 8)
            return lambda pixels: table[pixels]
        case "MONOCHROME1":
            return lambda pixels: 255 - _to_gray(pixels, dataset)
        case "MONOCHROME2":
            return lambda pixels: _to_gray(pixels, dataset)
        case "RGB" | "YBR_FULL" | "YBR_FULL_422" | "YBR_ICT" | "YBR_RCT":  # decoded to RGB
            return lambda pixels: _to_eight_bits(pixels, header.bits_stored)
        case _:
            raise ValueError("unsupported photometric interpretation")


def _to_eight_bits(values: NDArray[np.generic], bits: int) -> Frame:
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    return (values.astype(np.uint64) >> np.uint64(max(0, bits - 8))).astype(np.uint8)


def _to_gray(pixels: NDArray[np.generic], dataset: Dataset) -> Frame:
    """Apply the modality LUT and the first VOI window (PS3.3 C.11.1, C.11.2)."""
    values = np.asarray(apply_modality_lut(pixels, dataset))
    center = _get_first_number(dataset, "WindowCenter")
    width = _get_first_number(dataset, "WindowWidth")
    if center is not None and width is not None and width >= 1:
        function = str(dataset.get("VOILUTFunction") or "LINEAR")
        return np.rint(255 * _apply_window(values, center, width, function)).astype(np.uint8)
    if values.dtype == np.uint8:
        return values
    numbers = values.astype(np.float64)
    low, high = numbers.min(), numbers.max()
    share = (numbers - low) / (high - low) if high > low else np.zeros_like(numbers)
    return np.rint(255 * share).astype(np.uint8)


def _get_first_number(dataset: Dataset, keyword: str) -> float | None:
    value = dataset.get(keyword)
    values = value if isinstance(value, MultiValue) else [value]
    return None if not values or values[0] is None else float(values[0])


def _apply_window(
    values: NDArray[np.generic], center: float, width: float, function: str
) -> NDArray[np.float64]:
    """Return the displayed brightness from 0 to 1 (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    offset = values.astype(np.float64) - center
    match function:
        case "SIGMOID":
            return 1 / (1 + np.exp(-4 * offset / width))
        case "LINEAR_EXACT":
            return np.clip(offset / width + 0.5, 0, 1)
        case _:
            return np.clip((offset + 0.5) / max(width - 1, np.finfo(float).tiny) + 0.5, 0, 1)
