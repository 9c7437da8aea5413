"""Labelled images on disk, in one of three layouts.

BUSI: ``<class>/<name>.png`` beside ``<name>_mask.png``, ``<name>_mask_1.png`` ... for each lesion
(Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863).

A list: ``manifest.csv`` with ``image, class`` and, each if you have it, ``masks`` (files, parted by
``;``), ``duplicate_group``, ``fold`` and ``label_conflict``; ``image`` is a path below the folder,
or a name below its class. It is also what an export of reviewed studies should look like.

BreakHis: ``.../SOB/<subtype>/<slide>/<magnification>/SOB_B_A-14-22549AB-40-001.png`` (Spanhol 2016,
doi 10.1109/TBME.2015.2496264): benign and malignant, one magnification, each slide a group.

Public sets hold many near-duplicates, some with contradicting labels (Pawłowska 2023, doi
10.1016/j.dib.2023.109247). Where no list names the groups they are found here
(`models.training.duplicates`), so that no split leaks.
"""

import csv
import glob
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.evaluation import Case
from models.training.duplicates import contradicting, find_groups
from models.types import CLASSES, DatasetError

MANIFEST = "manifest.csv"
_MASK = re.compile(r"_mask(_\d+)?$")
_BREAKHIS = re.compile(r"SOB_(?P<class>[BM])_(?P<slide>[A-Z]+-\d+-[^-]+)-\d+-\d+$")

logger = logging.getLogger(__name__)


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


def read_samples(
    directory: Path, *, folds: int = 5, classes: Sequence[str] = CLASSES, magnification: int = 40
) -> list[Sample]:
    """List a data set's samples, those with contradicting labels left out.

    ``magnification`` is for BreakHis. Folds that no list names are dealt out group by group.
    Raises `DatasetError`.
    """
    manifest = directory / MANIFEST
    if manifest.is_file():
        samples = _from_manifest(manifest, folds, classes)
    else:
        samples = _from_folders(directory, folds, classes) or _from_breakhis(
            directory, folds, classes, magnification
        )
    if not samples:
        raise DatasetError(
            f"no images in folders named {', '.join(classes)} in {directory.name}, no"
            f" {MANIFEST}, and no BreakHis tree of magnification {magnification}"
        )
    return samples


def cases(samples: Iterable[Sample]) -> Iterator[Case]:
    """Read samples one after another for `models.evaluation.evaluate`."""
    for sample in samples:
        pixels, lesion = sample.read()
        yield pixels, sample.label, lesion


def _from_manifest(manifest: Path, folds: int, classes: Sequence[str]) -> list[Sample]:
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        rows = [row for row in rows if not int(row.get("label_conflict") or 0)]
        samples = [_row(manifest.parent, row, classes) for row in rows]
        if all(row.get("duplicate_group") for row in rows):
            groups = [int(row["duplicate_group"]) for row in rows]
            samples = [replace(x, duplicate_group=g) for x, g in zip(samples, groups, strict=True)]
        else:
            samples = _grouped(samples)
        if all(row.get("fold") for row in rows):
            return [replace(x, fold=int(r["fold"])) for x, r in zip(samples, rows, strict=True)]
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{manifest.name}: missing or wrong value for {error}") from error
    return _dealt(samples, folds)


def _row(directory: Path, row: dict[str, str], classes: Sequence[str]) -> Sample:
    image = directory / row["image"]
    if not image.is_file():
        image = directory / row["class"] / row["image"]
    named = [directory / name.strip() for name in (row.get("masks") or "").split(";")]
    masks = tuple(file for file in named if file.is_file()) or _masks(image)
    return Sample(image, list(classes).index(row["class"]), masks, 0, 0)


def _from_folders(directory: Path, folds: int, classes: Sequence[str]) -> list[Sample]:
    samples = [
        Sample(image, label, _masks(image), 0, 0)
        for label, name in enumerate(classes)
        for image in sorted((directory / name).glob("*.png"))
        if not _MASK.search(image.stem)
    ]
    return _dealt(_grouped(samples), folds)


def _from_breakhis(
    directory: Path, folds: int, classes: Sequence[str], magnification: int
) -> list[Sample]:
    found = [
        (image, named["class"], named["slide"])
        for image in sorted(directory.rglob(f"SOB_*-{magnification}-*.png"))
        if (named := _BREAKHIS.match(image.stem))
    ]
    names = {"B": "benign", "M": "malignant"}
    slides = {slide: number for number, slide in enumerate(sorted({x[2] for x in found}))}
    samples = [
        Sample(image, list(classes).index(names[letter]), (), slides[slide], 0)
        for image, letter, slide in found
        if names[letter] in classes
    ]
    return _dealt(samples, folds)


def _grouped(samples: Sequence[Sample]) -> list[Sample]:
    """Number near-duplicates' groups, and leave out those whose labels contradict each other."""
    groups = find_groups([sample.image for sample in samples])
    wrong = contradicting([sample.label for sample in samples], groups)
    if wrong:
        logger.warning(
            "%d groups of near-duplicates carry contradicting labels: left out", len(wrong)
        )
    return [
        replace(sample, duplicate_group=int(group))
        for sample, group in zip(samples, groups, strict=True)
        if int(group) not in wrong
    ]


def _dealt(samples: Sequence[Sample], folds: int) -> list[Sample]:
    """Deal whole groups out to folds, class by class, the largest groups first."""
    fold_of: dict[int, int] = {}
    for label in sorted({sample.label for sample in samples}):
        sizes = Counter(x.duplicate_group for x in samples if x.label == label)
        filled = [0] * folds
        for group, size in sizes.most_common():
            fold = fold_of.setdefault(group, filled.index(min(filled)))
            filled[fold] += size
    return [replace(sample, fold=fold_of[sample.duplicate_group]) for sample in samples]


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
