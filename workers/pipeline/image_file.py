"""Image files: DICOM instances, PNG and JPEG."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydicom.dataset import Dataset

from dicom.errors import DicomError, FrameTimeout, FrameTooLarge, UndecodableFrame
from dicom.files import read_without_pixels
from dicom.images.frames import decode_frames
from dicom.images.header import InstanceHeader, parse_header
from dicom.images.header_gate import MINIMUM_SIDE_PX, TOO_SMALL, find_header_refusal
from dicom.images.limits import check_frame_bytes, get_decoding_limits
from dicom.images.regions import BModeRegion, find_bmode_region, find_content_region
from dicom.results.model import RefusalReason
from dicom.uids import derived_uid
from workers.errors import NotAnImage
from workers.pipeline.types import Frame

PNG_OR_JPEG_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg"})
_FORMATS: Final = ("PNG", "JPEG")
_MAX_TIMEOUTS: Final = 3
"""After as many frames that take too long, those left of the image are refused untried: an image
must not occupy a worker for as many deadlines as it has frames."""
_GRAYS: Final = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L"})


class ImageFile(Protocol):
    """An image file of any format, as the pipeline reads it."""

    @property
    def source(self) -> Path: ...

    @property
    def header(self) -> InstanceHeader | None: ...

    @property
    def frame_count(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    def find_refusal(self) -> RefusalReason | None:
        """Return why the image must not be analyzed; pixels are not checked."""

    def decode_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame | RefusalReason]]:
        """Yield each 0-based index with its frame, or the reason why it cannot be decoded."""

    def find_region(self, frame: Frame) -> BModeRegion: ...

    def tracking_uid(self, *part: str) -> str:
        """Return the UID of a part of the image; it depends on the image and ``part`` only."""


def open_image_file(path: Path) -> ImageFile:
    """Open a file: as PNG or JPEG if its suffix says so, otherwise as DICOM.

    Raises:
        DicomError: the file has another format, is damaged or exceeds a limit.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() in PNG_OR_JPEG_SUFFIXES:
        return PngOrJpegFile(path)
    dataset = read_without_pixels(path)
    return DicomImageFile(path, dataset, parse_header(dataset))


def lesion_uid(study_instance_uid: str, sop_instance_uid: str, number: int) -> str:
    """Return the tracking UID of a lesion that no earlier analysis outlined.

    ``number`` counts the lesions of the image.
    """
    return derived_uid(study_instance_uid, sop_instance_uid, "lesion", str(number))


def to_refusal_reason(error: DicomError) -> RefusalReason:
    return RefusalReason(error.code, str(error))


@dataclass(frozen=True)
class DicomImageFile:
    """A DICOM instance."""

    source: Path
    dataset: Dataset
    header: InstanceHeader

    @property
    def frame_count(self) -> int:
        return self.header.number_of_frames

    @property
    def shape(self) -> tuple[int, int]:
        return self.header.rows, self.header.columns

    def find_refusal(self) -> RefusalReason | None:
        return find_header_refusal(self.header)

    def decode_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame | RefusalReason]]:
        left = list(indices)
        timeouts = 0
        while left:
            try:
                for frame in decode_frames(self.source, tuple(left)):
                    yield left.pop(0), frame
            except UndecodableFrame as error:
                yield left.pop(0), to_refusal_reason(error)
                timeouts += isinstance(error, FrameTimeout)
                if timeouts == _MAX_TIMEOUTS:
                    for index in left:
                        yield index, to_refusal_reason(FrameTimeout(index))
                    return

    def find_region(self, frame: Frame) -> BModeRegion:
        return find_bmode_region(self.dataset, frame)

    def tracking_uid(self, *part: str) -> str:
        return derived_uid(self.header.study_instance_uid, self.header.sop_instance_uid, *part)


class PngOrJpegFile:
    """A PNG or JPEG file: one frame, not calibrated."""

    header: InstanceHeader | None = None
    frame_count = 1

    def __init__(self, source: Path) -> None:
        self.source = source
        try:
            with Image.open(source, formats=_FORMATS) as image:
                self.shape = image.height, image.width
        except UnidentifiedImageError as error:
            raise NotAnImage from error
        except Image.DecompressionBombError as error:
            raise FrameTooLarge(get_decoding_limits().frame_bytes) from error
        check_frame_bytes(*self.shape, samples=3, bits=8)

    def find_refusal(self) -> RefusalReason | None:
        if min(self.shape) < MINIMUM_SIDE_PX:
            return TOO_SMALL
        return None

    def decode_frames(self, indices: Sequence[int]) -> Iterator[tuple[int, Frame | RefusalReason]]:
        for index in indices:
            try:
                yield index, self._pixels()
            except (OSError, ValueError, SyntaxError):  # damaged, for Pillow
                error = UndecodableFrame(index)
                yield index, to_refusal_reason(error)

    def find_region(self, frame: Frame) -> BModeRegion:
        return find_content_region(frame)

    def tracking_uid(self, *part: str) -> str:
        return derived_uid(self._digest, *part)

    @cached_property
    def _digest(self) -> str:
        with self.source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _pixels(self) -> Frame:
        with Image.open(self.source, formats=_FORMATS) as image:
            if image.mode not in _GRAYS:
                return np.asarray(image.convert("RGB"))
            gray = np.asarray(image)
        if gray.dtype == np.bool_:
            return np.where(gray, np.uint8(255), np.uint8(0))
        if gray.dtype != np.uint8:
            gray = np.clip(gray, 0, 65535).astype(np.uint16) >> 8
        return gray.astype(np.uint8)
