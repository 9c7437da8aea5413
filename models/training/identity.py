"""Digests that tell trainings, and the images that they have seen, from others.

A preset leaves the house, and names of files may be patients'. So it names the images that it was
trained on by the first 8 hex digits of the SHA-256 of their files: who holds an image can ask
whether it was among them, and no image can be made out from them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.training.dataset import Sample
from models.types import DatasetError

SEEN = "seen_images"
"""In `models.preset.Preset.trained`: what `seen_images` gave. Presets made before lack it."""
_DIGITS = 8


@dataclass(frozen=True)
class Marked:
    """A sample with the SHA-256 (hex) of its image's file and of each mask's."""

    sample: Sample
    image: str
    masks: tuple[str, ...]


def mark(samples: Iterable[Sample]) -> list[Marked]:
    """Take the digests of all samples' files. Raises `DatasetError`."""
    return [Marked(x, file_digest(x.image), tuple(map(file_digest, x.masks))) for x in samples]


def seen_images(digests: Iterable[str]) -> str:
    """Name images in a preset by ``digests`` of their files: shortened, sorted, parted by spaces."""
    return " ".join(sorted({each[:_DIGITS] for each in digests}))


def seen_groups(trained: Mapping[str, Any], samples: Sequence[Sample]) -> set[int] | None:
    """Groups of near-duplicates of which an image was trained on; None where nothing is told of it.

    ``trained`` is a preset's. Raises `DatasetError`.
    """
    if SEEN not in trained:
        return None
    seen = set(trained[SEEN].split())
    return {x.duplicate_group for x in samples if file_digest(x.image)[:_DIGITS] in seen}


def file_digest(file: Path) -> str:
    """Return a file's SHA-256 in hex. Raises `DatasetError` when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{file.name} cannot be read ({error.strerror})") from error


def digest_of(facts: Any) -> str:
    """Return the SHA-256 (hex) of plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
