"""Labeled images on disk, in one of three layouts.

BUSI: ``<class>/<name>.png`` beside ``<name>_mask.png``, ``<name>_mask_1.png`` ... for each lesion
(Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863). JPEG and BMP are read too, in either case.

A list: ``manifest.csv`` with ``image, class`` and, each if you have it, ``masks`` (files, parted by
``;``, or how many lie beside the image as above), ``duplicate_group``, ``fold`` and
``label_conflict`` (0 or 1); ``image`` is a path below the folder, or a name below its class. It is
also what an export of reviewed studies should look like.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import BENIGN, CLASSES, MALIGNANT, NORMAL
from models.evaluation import Case
from models.training.duplicates import contradicting, find_groups
from models.training.pictures import is_picture, read_gray, read_mask
from models.types import DatasetError

MANIFEST = "manifest.csv"
"""The class without a lesion, in which no mask is missing."""
_MASK = re.compile(r"_mask(_\d+)?$")
_BREAKHIS = re.compile(
    # The subtype is no part of the slide: one slide is there as DC-14-13412 and as LC-14-13412.
    r"SOB_(?P<class>[BM])_[A-Z]+-(?P<slide>\d+-[^-]+)-(?P<magnification>\d+)-\d+$"
)
_BREAKHIS_CLASSES = {"B": BENIGN, "M": MALIGNANT}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One image: its class as an index into the classes asked for, and its masks.

    Images of one ``duplicate_group`` show nearly the same; ``fold`` keeps each group together.
    Unless ``outlined`` it shows something, but no mask tells where.
    """

    image: Path
    label: int
    masks: tuple[Path, ...]
    duplicate_group: int
    fold: int
    outlined: bool = True

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read gray pixels ``(h, w)`` and the union of the masks. Raises `DatasetError`."""
        pixels = read_gray(self.image)
        lesion = np.zeros(pixels.shape, np.bool_)
        for file in self.masks:
            mask = read_mask(file)
            if mask.shape != pixels.shape:
                raise DatasetError(f"{file.name} is not of the size of its image")
            lesion |= mask
        return pixels, lesion


@dataclass(frozen=True)
class SampleArrays:
    """Samples letterboxed for a network: ``(n, s, s)`` pixels and lesions, ``(n,)`` labels."""

    pixels: NDArray[np.uint8]
    lesions: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LeftOut:
    """An image whose label a near-duplicate's contradicts; ``duplicate_group`` None: not told."""

    image: Path
    label: str
    duplicate_group: int | None


@dataclass(frozen=True)
class DataSet:
    """What is in a folder: labels are indices into ``classes``, of which some may be empty."""

    samples: list[Sample]
    left_out: list[LeftOut]
    classes: tuple[str, ...]

    @property
    def empty_classes(self) -> list[str]:
        """Classes without an image."""
        seen = {sample.label for sample in self.samples}
        return [name for label, name in enumerate(self.classes) if label not in seen]

    def notices(self) -> Iterator[str]:
        """What whoever reads figures of it should know, a sentence each."""
        if self.empty_classes:
            yield f"No image is of class {' or '.join(self.empty_classes)}: that has no figures."
        if self.left_out:
            yield f"Left out, for near-duplicates contradict the label: {len(self.left_out)} images."
        if bare := sum(not sample.outlined for sample in self.samples):
            yield f"Without a mask, though not of class {NORMAL}: {bare}; no outline is known there."


def read_data_set(
    directory: Path,
    *,
    folds: int = 5,
    classes: Sequence[str] | None = None,
    magnification: int = 40,
) -> DataSet:
    """List a data set's samples, those with contradicting labels apart.

    ``classes`` None: those of its layout, which are `CLASSES`, and two for BreakHis, of which one
    ``magnification`` is read. Folds that no list names are dealt out group by group.
    Raises `DatasetError`.
    """
    manifest, named = directory / MANIFEST, tuple(classes or CLASSES)
    if manifest.is_file():
        return _unless_empty(_from_manifest(manifest, folds, named), f"{MANIFEST} lists no image")
    found = _from_folders(directory, folds, named)
    if not found.samples and not found.left_out:
        two = tuple(classes or _BREAKHIS_CLASSES.values())
        found = _from_breakhis(directory, folds, two, magnification)
    return _unless_empty(
        found,
        f"no images in folders named {', '.join(named)} in {directory.name}, no {MANIFEST}, and no"
        f" BreakHis tree of magnification {magnification}",
    )


def read_samples(
    directory: Path, *, folds: int = 5, classes: Sequence[str] = CLASSES, magnification: int = 40
) -> list[Sample]:
    """List samples of each of the classes as `read_data_set` does; the log tells what is left out.

    Raises `DatasetError`, also for a class without an image: a network would never answer it.
    """
    data = read_data_set(directory, folds=folds, classes=classes, magnification=magnification)
    if data.empty_classes:
        raise DatasetError(
            f"{directory.name} holds no image of class {' or '.join(data.empty_classes)};"
            f" {_told_instead(directory, classes)}"
        )
    if data.left_out:
        logger.warning(
            "%d images are left out, for near-duplicates contradict their labels;"
            " `sonogate dataset inspect` names them",
            len(data.left_out),
        )
    return data.samples


def require_outlines(samples: Iterable[Sample]) -> None:
    """Raise `DatasetError` when an image that is not normal has no mask to learn outlines from."""
    bare = [sample.image.name for sample in samples if not sample.outlined]
    if bare:
        raise DatasetError(
            f"without a mask, though not of class {NORMAL}: {', '.join(bare[:3])}"
            f"{f' and {len(bare) - 3} more' if len(bare) > 3 else ''}; a recipe that outlines needs"
            " a NAME_mask.png beside each; add them, or take a recipe that only classifies"
        )


def cases(samples: Iterable[Sample]) -> Iterator[Case]:
    """Read samples one after another for `models.evaluation.evaluate`."""
    for sample in samples:
        pixels, lesion = sample.read()
        yield pixels, sample.label, lesion if sample.outlined else None


def _unless_empty(found: DataSet, empty: str) -> DataSet:
    if found.samples:
        return found
    if found.left_out:
        empty = f"near-duplicates contradict the label of each of the {len(found.left_out)} images"
    raise DatasetError(empty)


def _told_instead(directory: Path, classes: Sequence[str]) -> str:
    """Where the images of an empty class were looked for; a misspelt folder shows."""
    if (directory / MANIFEST).is_file():
        return f"{MANIFEST} must name some"
    others = sorted(x.name for x in directory.iterdir() if x.is_dir() and x.name not in classes)
    there = f"; other folders there: {', '.join(others[:5])}" if others else ""
    return f"PNG, JPEG or BMP files are wanted in a folder of that name{there}"


def _from_manifest(manifest: Path, folds: int, classes: tuple[str, ...]) -> DataSet:
    rows = _rows(manifest)
    try:
        conflicts = [row for row in rows if int(row.get("label_conflict") or 0)]
        left_out = [_left_out(manifest.parent, row) for row in conflicts]
        rows = [row for row in rows if not int(row.get("label_conflict") or 0)]
        samples = [_row(manifest.parent, row, classes) for row in rows]
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{manifest.name}: missing or wrong value for {error}") from error
    grouped, judged, dealt = (
        all(row.get(key) for row in rows) for key in ("duplicate_group", "label_conflict", "fold")
    )
    if not grouped:
        samples = _grouped(samples)
    if not (grouped and judged):
        samples, contradicted = _parted(samples, classes)
        left_out += contradicted
    return DataSet(samples if dealt else _dealt(samples, folds), left_out, classes)


def _rows(manifest: Path) -> list[dict[str, str]]:
    try:
        # Excel marks its "CSV UTF-8" files by three bytes at the start.
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            return list(csv.DictReader(stream, restval=""))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest.name} is not UTF-8: save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DatasetError(f"{manifest.name} cannot be read as CSV: {error}") from error


def _row(directory: Path, row: Mapping[str, str], classes: Sequence[str]) -> Sample:
    image = _image(directory, row)
    label = list(classes).index(row["class"])
    if not image.is_file():
        raise DatasetError(f"{MANIFEST} names the image {row['image']}, which is not there")
    masks = _masks_said(directory, row, image)
    return Sample(
        image,
        label,
        masks,
        int(row.get("duplicate_group") or 0),
        int(row.get("fold") or 0),
        outlined=bool(masks) or row["class"] == NORMAL,
    )


def _image(directory: Path, row: Mapping[str, str]) -> Path:
    image = directory / row["image"]
    return image if image.is_file() else directory / row["class"] / row["image"]


def _left_out(directory: Path, row: Mapping[str, str]) -> LeftOut:
    group = row.get("duplicate_group")
    return LeftOut(_image(directory, row), row["class"], int(group) if group else None)


def _masks_said(directory: Path, row: Mapping[str, str], image: Path) -> tuple[Path, ...]:
    """The masks that a row names; those beside the image where it names none, or their number."""
    said = (row.get("masks") or "").strip()
    if said and not said.isdecimal():
        names = [name.strip() for name in said.split(";") if name.strip()]
        return tuple(_named_mask(directory, image, name) for name in names)
    found = _masks(image)
    if said and int(said) != len(found):
        raise DatasetError(
            f"{MANIFEST} tells of {said} masks of {image.name}; beside it are {len(found)}"
        )
    return found


def _named_mask(directory: Path, image: Path, name: str) -> Path:
    for file in (directory / name, image.parent / name):
        if file.is_file():
            return file
    raise DatasetError(f"{MANIFEST} names the mask {name} of {image.name}, which is not there")


def _from_folders(directory: Path, folds: int, classes: tuple[str, ...]) -> DataSet:
    samples = []
    for label, name in enumerate(classes):
        for image in sorted((directory / name).glob("*")):
            if is_picture(image) and not _MASK.search(image.stem):
                masks = _masks(image)
                samples.append(
                    Sample(image, label, masks, 0, 0, outlined=bool(masks) or name == NORMAL)
                )
    kept, left_out = _parted(_grouped(samples), classes)
    return DataSet(_dealt(kept, folds), left_out, classes)


def magnification_of(samples: Sequence[Sample]) -> int | None:
    """The magnification that all images were taken at, by their BreakHis names; None: not told."""
    named = [_BREAKHIS.match(sample.image.stem) for sample in samples]
    told = {int(each["magnification"]) if each else None for each in named}
    return told.pop() if len(told) == 1 else None


def _from_breakhis(
    directory: Path, folds: int, classes: tuple[str, ...], magnification: int
) -> DataSet:
    found = [
        (image, _BREAKHIS_CLASSES[named["class"]], named["slide"])
        for image in sorted(directory.rglob(f"SOB_*-{magnification}-*"))
        if is_picture(image)
        and (named := _BREAKHIS.match(image.stem))
        and int(named["magnification"]) == magnification
    ]
    slides = {slide: number for number, slide in enumerate(sorted({x[2] for x in found}))}
    samples = [
        Sample(image, classes.index(name), (), slides[slide], 0, outlined=False)
        for image, name, slide in found
        if name in classes
    ]
    return DataSet(_dealt(samples, folds), [], classes)


def _grouped(samples: Sequence[Sample]) -> list[Sample]:
    """Number near-duplicates' groups."""
    groups = find_groups([sample.image for sample in samples]).tolist()
    return [replace(x, duplicate_group=group) for x, group in zip(samples, groups, strict=True)]


def _parted(
    samples: Sequence[Sample], classes: Sequence[str]
) -> tuple[list[Sample], list[LeftOut]]:
    """Take out groups whose labels contradict each other."""
    wrong = contradicting([x.label for x in samples], [x.duplicate_group for x in samples])
    kept = [x for x in samples if x.duplicate_group not in wrong]
    left_out = [
        LeftOut(x.image, classes[x.label], x.duplicate_group)
        for x in samples
        if x.duplicate_group in wrong
    ]
    return kept, left_out


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
    """The masks beside an image, whatever the kind of their files."""
    like = image.parent.glob(f"{glob.escape(image.stem)}_mask*")
    return tuple(
        file
        for file in sorted(like)
        if _MASK.fullmatch(file.stem.removeprefix(image.stem)) and is_picture(file)
    )
