"""Digests that identify training runs and the images that a preset was trained on.

File names may contain patient names, so a preset lists its training images as the first 8 hex
digits of the SHA-256 of each file. They tell whether a given image was used, and nothing else.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.dataset import Sample
from models.types import DatasetError

TRAINING_IMAGES = "training_images"
"""Key in `models.preset.Preset.trained` of what `list_training_images` returns."""
_DIGITS = 8


@dataclass(frozen=True)
class HashedSample:
    """A sample with the SHA-256 (hex) of its image file and of each mask file."""

    sample: Sample
    image_sha256: str
    mask_sha256: tuple[str, ...]


def hash_samples(samples: Iterable[Sample]) -> list[HashedSample]:
    """Compute the digests of all files. Raises `DatasetError` if one cannot be read."""
    return [
        HashedSample(x, file_digest(x.image), tuple(map(file_digest, x.masks))) for x in samples
    ]


def list_training_images(image_sha256: Iterable[str]) -> str:
    """Return shortened digests, sorted and separated by spaces, as a preset stores them."""
    return " ".join(sorted({digest[:_DIGITS] for digest in image_sha256}))


def find_training_groups(trained: Mapping[str, Any], samples: Sequence[Sample]) -> set[int] | None:
    """Return the duplicate groups that contain a training image of a preset.

    ``trained`` is `models.preset.Preset.trained`. Returns None if it does not list the training
    images. Raises `DatasetError` if a file cannot be read.
    """
    if TRAINING_IMAGES not in trained:
        return None
    digests = set(trained[TRAINING_IMAGES].split())
    return {x.duplicate_group for x in samples if file_digest(x.image)[:_DIGITS] in digests}


def file_digest(file: Path) -> str:
    """Return the SHA-256 (hex) of a file. Raises `DatasetError` if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{file.name} cannot be read ({error.strerror})") from error


def digest_values(values: Any) -> str:
    """Return the SHA-256 (hex) of plain values, serialized as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
