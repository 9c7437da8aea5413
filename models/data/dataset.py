"""Labeled images on disk, in one of three layouts.

BUSI folders: ``<class>/<name>.png`` with ``<name>_mask.png``, ``<name>_mask_1.png`` ..., one for
each lesion (Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863). JPEG and BMP files are read as well;
suffixes may be in upper case.

A manifest: ``manifest.csv`` with the columns ``image`` and ``class``, and optionally ``masks``
(file names separated by ``;``, or the number of mask files next to the image),
``duplicate_group``, ``fold`` and ``label_conflict`` (0 or 1). ``image`` is relative to the folder,
or to the folder of its class. `sonogate dataset export` writes this layout.

BreakHis: ``.../SOB/<subtype>/<slide>/<magnification>/SOB_B_A-14-22549AB-40-001.png`` (Spanhol
2016, doi 10.1109/TBME.2015.2496264), with the classes benign and malignant. The images of one
magnification are read; the images of one slide are one group.

Public datasets contain many near-duplicates, some with contradicting labels (Pawłowska 2023, doi
10.1016/j.dib.2023.109247). If a manifest lists no groups, `models.data.duplicates` finds them, so
that near-duplicates are never on both sides of a split.
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
from models.data.duplicates import find_duplicate_groups, find_label_conflicts
from models.data.images import is_image_file, read_gray, read_mask
from models.types import DatasetError

MANIFEST = "manifest.csv"
_MASK = re.compile(r"_mask(_\d+)?$")
_BREAKHIS = re.compile(
    # The subtype does not identify the slide: one slide is listed as DC-14-13412 and LC-14-13412.
    r"SOB_(?P<class>[BM])_[A-Z]+-(?P<slide>\d+-[^-]+)-(?P<magnification>\d+)-\d+$"
)
_BREAKHIS_CLASSES = {"B": BENIGN, "M": MALIGNANT}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One labeled image.

    ``label`` is an index into the classes of the dataset. Near-duplicates share a
    ``duplicate_group``, which is never split over folds. ``annotated`` is false if the image shows
    a lesion that no mask outlines.
    """

    image: Path
    label: int
    masks: tuple[Path, ...]
    duplicate_group: int
    fold: int
    annotated: bool = True

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read gray pixels ``(h, w)`` and the union of the masks ``(h, w)``.

        Raises:
            DatasetError: a file cannot be read, or a mask differs from its image in size.
        """
        pixels = read_gray(self.image)
        lesion = np.zeros(pixels.shape, np.bool_)
        for file in self.masks:
            mask = read_mask(file)
            if mask.shape != pixels.shape:
                raise DatasetError(f"{file.name} differs in size from its image")
            lesion |= mask
        return pixels, lesion


@dataclass(frozen=True)
class SampleArrays:
    """Network inputs of ``n`` samples, from `models.data.inputs`.

    ``pixels`` is ``(n, s, s)`` or ``(n, s, s, 3)``, ``lesions`` ``(n, s, s)``, ``labels`` ``(n,)``.
    """

    pixels: NDArray[np.uint8]
    lesions: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ExcludedImage:
    """An image whose label contradicts that of a near-duplicate.

    ``duplicate_group`` is None if the manifest does not list it.
    """

    image: Path
    label: str
    duplicate_group: int | None


@dataclass(frozen=True)
class Dataset:
    """The images of a folder. ``Sample.label`` is an index into ``classes``."""

    samples: list[Sample]
    excluded: list[ExcludedImage]
    classes: tuple[str, ...]

    @property
    def empty_classes(self) -> list[str]:
        """Classes without images."""
        labels = {sample.label for sample in self.samples}
        return [name for label, name in enumerate(self.classes) if label not in labels]

    def notices(self) -> Iterator[str]:
        """Yield sentences about limits of metrics computed on this dataset."""
        if self.empty_classes:
            names = " or ".join(self.empty_classes)
            yield f"No image is of class {names}: its metrics are undefined."
        if self.excluded:
            yield f"Excluded because near-duplicates have contradicting labels: {len(self.excluded)} images."
        if missing := sum(not sample.annotated for sample in self.samples):
            yield (
                f"Without a mask although not of class {NORMAL}: {missing} images, which are left"
                " out of segmentation metrics."
            )


def read_dataset(
    directory: Path,
    *,
    folds: int = 5,
    classes: Sequence[str] | None = None,
    magnification: int = 40,
) -> Dataset:
    """List the images of a folder and exclude those with contradicting labels.

    ``classes`` defaults to `CLASSES`, or to benign and malignant for BreakHis, of which one
    ``magnification`` is read. Unless a manifest assigns folds, groups are distributed over
    ``folds`` folds.

    Raises:
        DatasetError: the folder has no images, or its manifest is invalid.
    """
    manifest, names = directory / MANIFEST, tuple(classes or CLASSES)
    if manifest.is_file():
        dataset = _read_manifest(manifest, folds, names)
        problem = f"{MANIFEST} lists no images"
    else:
        dataset = _read_class_folders(directory, folds, names)
        if not dataset.samples and not dataset.excluded:
            two_classes = tuple(classes or _BREAKHIS_CLASSES.values())
            dataset = _read_breakhis(directory, folds, two_classes, magnification)
        problem = (
            f"no images in folders named {', '.join(names)} in {directory.name}, no {MANIFEST},"
            f" and no BreakHis tree of magnification {magnification}"
        )
    if dataset.samples:
        return dataset
    if dataset.excluded:
        problem = (
            f"all {len(dataset.excluded)} images are excluded because near-duplicates have"
            " contradicting labels"
        )
    raise DatasetError(problem)


def read_samples(
    directory: Path, *, folds: int = 5, classes: Sequence[str] = CLASSES, magnification: int = 40
) -> list[Sample]:
    """List the samples of a folder as `read_dataset` does, and log how many are excluded.

    Raises:
        DatasetError: as for `read_dataset`, or a class has no images and cannot be learned.
    """
    dataset = read_dataset(directory, folds=folds, classes=classes, magnification=magnification)
    if dataset.empty_classes:
        problem = f"{directory.name} has no image of class {' or '.join(dataset.empty_classes)}"
        if (directory / MANIFEST).is_file():
            raise DatasetError(f"{problem}; list some in {MANIFEST}")
        others = sorted(x.name for x in directory.iterdir() if x.is_dir() and x.name not in classes)
        hint = f"; other folders there: {', '.join(others[:5])}" if others else ""
        raise DatasetError(f"{problem}; put PNG, JPEG or BMP files in a folder of that name{hint}")
    if dataset.excluded:
        logger.warning(
            "%d images are excluded because near-duplicates have contradicting labels;"
            " `sonogate dataset inspect` lists them",
            len(dataset.excluded),
        )
    return dataset.samples


def require_annotations(samples: Iterable[Sample]) -> None:
    """Check that every image that is not normal has a mask, which training of outlines needs.

    Raises:
        DatasetError: it names images without one.
    """
    missing = [sample.image.name for sample in samples if not sample.annotated]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DatasetError(
            f"without a mask although not of class {NORMAL}: {', '.join(missing[:3])}{more}; add a"
            " NAME_mask.png for each, or choose a recipe that only classifies"
        )


def common_magnification(samples: Sequence[Sample]) -> int | None:
    """Return the magnification in the BreakHis names of the samples; None unless all agree."""
    names = [_BREAKHIS.match(sample.image.stem) for sample in samples]
    magnifications = {int(name["magnification"]) if name else None for name in names}
    return magnifications.pop() if len(magnifications) == 1 else None


def _read_manifest(manifest: Path, folds: int, classes: tuple[str, ...]) -> Dataset:
    try:
        # utf-8-sig: Excel starts its "CSV UTF-8" files with a byte order mark.
        with manifest.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{manifest.name} is not UTF-8: save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DatasetError(f"{manifest.name} cannot be read as CSV: {error}") from error
    try:
        excluded = [
            ExcludedImage(
                _image_path(manifest.parent, row),
                row["class"],
                int(row["duplicate_group"]) if row.get("duplicate_group") else None,
            )
            for row in rows
            if int(row.get("label_conflict") or 0)
        ]
        rows = [row for row in rows if not int(row.get("label_conflict") or 0)]
        samples = [_parse_sample(manifest.parent, row, classes) for row in rows]
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{manifest.name}: missing or invalid value for {error}") from error
    has_groups, has_conflicts, has_folds = (
        all(row.get(key) for row in rows) for key in ("duplicate_group", "label_conflict", "fold")
    )
    if not has_groups:
        samples = _assign_groups(samples)
    if not (has_groups and has_conflicts):
        samples, contradicting = _exclude_conflicts(samples, classes)
        excluded += contradicting
    return Dataset(samples if has_folds else _assign_folds(samples, folds), excluded, classes)


def _parse_sample(directory: Path, row: Mapping[str, str], classes: Sequence[str]) -> Sample:
    image = _image_path(directory, row)
    label = list(classes).index(row["class"])
    if not image.is_file():
        raise DatasetError(f"{MANIFEST} lists the image {row['image']}, which does not exist")
    masks = _parse_masks(directory, row, image)
    return Sample(
        image,
        label,
        masks,
        int(row.get("duplicate_group") or 0),
        int(row.get("fold") or 0),
        annotated=bool(masks) or row["class"] == NORMAL,
    )


def _image_path(directory: Path, row: Mapping[str, str]) -> Path:
    image = directory / row["image"]
    return image if image.is_file() else directory / row["class"] / row["image"]


def _parse_masks(directory: Path, row: Mapping[str, str], image: Path) -> tuple[Path, ...]:
    """Find the masks that a row lists; otherwise those next to the image, whose number it may give."""
    value = (row.get("masks") or "").strip()
    if not value or value.isdecimal():
        masks = _masks_next_to(image)
        if value and int(value) != len(masks):
            raise DatasetError(
                f"{MANIFEST} lists {value} masks of {image.name}, but {len(masks)} are next to it"
            )
        return masks
    masks = ()
    for name in (part.strip() for part in value.split(";") if part.strip()):
        candidates = [x for x in (directory / name, image.parent / name) if x.is_file()]
        if not candidates:
            raise DatasetError(
                f"{MANIFEST} lists the mask {name} of {image.name}, which does not exist"
            )
        masks = (*masks, candidates[0])
    return masks


def _read_class_folders(directory: Path, folds: int, classes: tuple[str, ...]) -> Dataset:
    samples = []
    for label, name in enumerate(classes):
        for image in sorted((directory / name).glob("*")):
            if is_image_file(image) and not _MASK.search(image.stem):
                masks = _masks_next_to(image)
                annotated = bool(masks) or name == NORMAL
                samples.append(Sample(image, label, masks, 0, 0, annotated))
    consistent, excluded = _exclude_conflicts(_assign_groups(samples), classes)
    return Dataset(_assign_folds(consistent, folds), excluded, classes)


def _read_breakhis(
    directory: Path, folds: int, classes: tuple[str, ...], magnification: int
) -> Dataset:
    images = [
        (image, _BREAKHIS_CLASSES[name["class"]], name["slide"])
        for image in sorted(directory.rglob(f"SOB_*-{magnification}-*"))
        if is_image_file(image)
        and (name := _BREAKHIS.match(image.stem))
        and int(name["magnification"]) == magnification
    ]
    slides = {slide: number for number, slide in enumerate(sorted({x[2] for x in images}))}
    samples = [
        Sample(image, classes.index(name), (), slides[slide], 0, annotated=False)
        for image, name, slide in images
        if name in classes
    ]
    return Dataset(_assign_folds(samples, folds), [], classes)


def _assign_groups(samples: Sequence[Sample]) -> list[Sample]:
    groups = find_duplicate_groups([sample.image for sample in samples]).tolist()
    return [replace(x, duplicate_group=group) for x, group in zip(samples, groups, strict=True)]


def _exclude_conflicts(
    samples: Sequence[Sample], classes: Sequence[str]
) -> tuple[list[Sample], list[ExcludedImage]]:
    """Separate the groups whose labels contradict each other."""
    conflicts = find_label_conflicts(
        [x.label for x in samples], [x.duplicate_group for x in samples]
    )
    consistent = [x for x in samples if x.duplicate_group not in conflicts]
    excluded = [
        ExcludedImage(x.image, classes[x.label], x.duplicate_group)
        for x in samples
        if x.duplicate_group in conflicts
    ]
    return consistent, excluded


def _assign_folds(samples: Sequence[Sample], folds: int) -> list[Sample]:
    """Distribute whole groups over folds, class by class, the largest groups first."""
    fold_of: dict[int, int] = {}
    for label in sorted({sample.label for sample in samples}):
        sizes = Counter(x.duplicate_group for x in samples if x.label == label)
        fold_sizes = [0] * folds
        for group, size in sizes.most_common():
            fold = fold_of.setdefault(group, fold_sizes.index(min(fold_sizes)))
            fold_sizes[fold] += size
    return [replace(sample, fold=fold_of[sample.duplicate_group]) for sample in samples]


def _masks_next_to(image: Path) -> tuple[Path, ...]:
    files = image.parent.glob(f"{glob.escape(image.stem)}_mask*")
    return tuple(
        file
        for file in sorted(files)
        if _MASK.fullmatch(file.stem.removeprefix(image.stem)) and is_image_file(file)
    )
