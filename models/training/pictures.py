"""Pictures on disk as 8-bit pixels, however they were stored.

Values of 16 bits lose their low byte, as `workers.pipeline.image_file` reads them: a network is
trained on what it will be shown.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.types import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})
"""Of the files in a folder, in lower case, which are taken for pictures."""
_DEEP = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_DARKEST = 1 << 12
"""Of 16 bits, values below this leave fewer than 16 levels of 256: next to nothing to see."""


def is_picture(file: Path) -> bool:
    """Whether it is a picture, going by its suffix."""
    return file.suffix.lower() in SUFFIXES and file.is_file()


def read_gray(file: Path) -> NDArray[np.uint8]:
    """Read gray pixels ``(h, w)``. Raises `DatasetError`."""
    return _read(file, "L")


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Read pixels ``(h, w, 3)``; gray ones have three equal planes. Raises `DatasetError`."""
    return _read(file, "RGB")


def read_mask(file: Path) -> NDArray[np.bool_]:
    """Read ``(h, w)``, true where anything is drawn, whatever its value. Raises `DatasetError`."""
    with _opened(file) as image:
        # JPEG smears an outline over its neighbors.
        drawn_above = 127 if image.format == "JPEG" else 0
        values = np.asarray(image if image.mode in _DEEP else image.convert("L"))
        drawn: NDArray[np.bool_] = values > drawn_above
        return drawn


def _read(file: Path, mode: str) -> NDArray[np.uint8]:
    with _opened(file) as image:
        if image.mode not in _DEEP:
            return np.asarray(image.convert(mode))
        values = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        if values.max() < _DARKEST:
            raise DatasetError(
                f"{file.name} holds 16-bit values up to {values.max()} of 65535 only, so that it"
                " would be black; save it with 8 bits, or stretched to the whole range"
            )
        return np.asarray(Image.fromarray((values >> 8).astype(np.uint8)).convert(mode))


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as image:
            yield image
    # What Pillow raises at damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise DatasetError(f"{file.name} cannot be read as an image") from error
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{file.name} has more pixels than any image of a lesion") from error
