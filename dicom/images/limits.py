"""Limits for the decoding of images, which apply to the whole process."""

from dataclasses import dataclass
from typing import Final

from dicom.errors import FrameTooLarge, ImageTooLarge

_RGB_SAMPLES: Final = 3


@dataclass(frozen=True)
class DecodingLimits:
    """What decoding may cost."""

    frame_bytes: int = 256_000_000
    """Size of a decoded frame: rows x columns x samples x bits allocated / 8."""
    image_bytes: int = 2_000_000_000
    """Size of all frames of an image that are analyzed, as decoded to RGB. An analysis keeps as
    much of each: a mask, a heat map and the probability of lesions."""
    frame_seconds: float = 15.0
    """Time to decode a compressed frame."""
    process_bytes: int = 2_000_000_000
    """Memory of the process that decodes compressed frames, beside its programs."""


_limits = DecodingLimits()


def set_decoding_limits(limits: DecodingLimits) -> None:
    """Set the limits of this process. Services do so when they start, from their settings.

    They are not parameters, because an image that one part of a process refuses to decode must not
    be decoded by another.
    """
    global _limits
    _limits = limits


def get_decoding_limits() -> DecodingLimits:
    return _limits


def check_frame_bytes(rows: int, columns: int, samples: int, bits: int) -> None:
    """Raise FrameTooLarge if a frame of this size exceeds the limit."""
    limit = get_decoding_limits().frame_bytes
    if rows * columns * samples * bits > 8 * limit:
        raise FrameTooLarge(limit)


def check_image_bytes(rows: int, columns: int, frames: int) -> None:
    """Raise ImageTooLarge if the analysis of so many frames would exceed the limit."""
    limit = get_decoding_limits().image_bytes
    if rows * columns * _RGB_SAMPLES * frames > limit:
        raise ImageTooLarge(limit)
