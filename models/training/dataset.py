"""Labelled breast-ultrasound images on disk, in the layout of BUSI.

``<class>/<name>.png`` beside ``<name>_mask.png``, ``<name>_mask_1.png`` ... for each lesion
(Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863). BUSI holds many near-duplicates and some images
with contradicting labels (Pawłowska 2023, doi 10.1016/j.dib.2023.109247): a ``manifest.csv`` with
``image, class, duplicate_group, fold, label_conflict`` says which, so that no split leaks.
"""

import csv
import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.evaluation import Case
from models.preprocess import letterbox
from models.types import CLASSES, DatasetError

MANIFEST = "manifest.csv"
_MASK = re.compile(r"_mask(_\d+)?$")


@dataclass(frozen=True)
class Sample:
    """One image: its class as an index into `CLASSES`, its masks (none: unknown or normal).

    Images of one ``duplicate_group`` show nearly the same; ``fold`` keeps each group together.
    """

    image: Path
    label: int
    masks: tuple[Path, ...]
    duplicate_group: int
    fold: int

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read gray pixels ``(h, w)`` and the union of the masks. Raises `DatasetError`."""
        pixels = _read_gray(self.image)
        lesion = np.zeros(pixels.shape, np.bool_)
        for file in self.masks:
            mask = _read_gray(file)
            if mask.shape != pixels.shape:
                raise DatasetError(f"{file.name} is not of the size of its image")
            lesion |= mask > 0
        return pixels, lesion


@dataclass(frozen=True)
class SampleArrays:
    """Samples letterboxed for a network: ``(n, s, s)`` pixels and lesions, ``(n,)`` labels."""

    pixels: NDArray[np.uint8]
    lesions: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def read_samples(directory: Path, *, folds: int = 5) -> list[Sample]:
    """List a data set's samples, those with contradicting labels left out.

    Without a manifest each image is its own group, and folds are dealt out class by class: right
    only when the images are known to be of different patients. Raises `DatasetError`.
    """
    manifest = directory / MANIFEST
    samples = _from_manifest(manifest) if manifest.is_file() else _from_folders(directory, folds)
    if not samples:
        raise DatasetError(f"no images in folders named {', '.join(CLASSES)} in {directory.name}")
    return samples


def load_arrays(samples: Sequence[Sample], size_px: int) -> SampleArrays:
    """Read and letterbox samples, all of them into memory (50 kB each at 224 pixels)."""
    pixels = np.zeros((len(samples), size_px, size_px), np.uint8)
    lesions = np.zeros(pixels.shape, np.bool_)
    for row, sample in enumerate(samples):
        image, lesion = sample.read()
        pixels[row], _ = letterbox(image, size_px)
        scaled, _ = letterbox(lesion.astype(np.uint8) * 255, size_px)
        lesions[row] = scaled > 127
    return SampleArrays(pixels, lesions, np.array([sample.label for sample in samples]))


def cases(samples: Iterable[Sample]) -> Iterator[Case]:
    """Read samples one after another for `models.evaluation.evaluate`."""
    for sample in samples:
        pixels, lesion = sample.read()
        yield pixels, sample.label, lesion


def _from_manifest(manifest: Path) -> list[Sample]:
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return [_row(manifest.parent, row) for row in rows if not int(row["label_conflict"])]
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{manifest.name}: missing or wrong value for {error}") from error


def _row(directory: Path, row: dict[str, str]) -> Sample:
    image = directory / row["image"]
    label = CLASSES.index(row["class"])
    return Sample(image, label, _masks(image), int(row["duplicate_group"]), int(row["fold"]))


def _from_folders(directory: Path, folds: int) -> list[Sample]:
    samples: list[Sample] = []
    for label, name in enumerate(CLASSES):
        images = sorted(x for x in (directory / name).glob("*.png") if not _MASK.search(x.stem))
        samples += [
            Sample(image, label, _masks(image), len(samples) + number, number % folds)
            for number, image in enumerate(images)
        ]
    return samples


def _masks(image: Path) -> tuple[Path, ...]:
    first = image.with_name(f"{image.stem}_mask.png")
    further = sorted(image.parent.glob(f"{glob.escape(image.stem)}_mask_*.png"))
    return tuple(file for file in (first, *further) if file.is_file())


def _read_gray(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise DatasetError(f"{file.name} cannot be read as an image") from error
