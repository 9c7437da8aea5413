"""Images of signed reviews with their class and lesion masks.

A reader signs a class for a study, not for each image. An image is labeled only where its class
follows from that:

- normal: every analyzed image is normal and has no lesion.
- benign or malignant: every frame with an outline has that class. Frames without one are excluded,
  because the review says nothing about them.

A malignant study may also contain benign lesions. If the networks classified some outlined images
of it as malignant and others not, the others have a ``label_conflict``.
"""

import enum
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db import analyses, reviews
from db.engine import Database
from db.files import FileStore
from db.outlines import ReaderOutline, load_outlines
from db.schema import Analysis, Finding, FindingKind, Study
from db.worklist import find_current_analysis
from dicom.errors import DicomError
from dicom.images.pixel_gate import find_pixel_refusal
from dicom.images.regions import BModeRegion
from dicom.results.model import RefusalReason
from dicom.terms.classification import MALIGNANT, NORMAL
from models.outline import enclosed_lesion
from models.preprocess import to_gray
from models.types import ModelError
from workers.pipeline.image_file import open_image_file
from workers.pipeline.types import Frame
from workers.results.gray_png import read_mask

# Pillow raises SyntaxError for a damaged PNG
_READ_ERRORS: Final = (OSError, SyntaxError, DicomError, ModelError)

Gray = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Outline = Finding | ReaderOutline
OutlinesByFrame = Mapping[int, Sequence[Outline]]
"""By 1-based frame number; a frame with an empty list has no lesion."""

logger = logging.getLogger(__name__)


class Exclusion(enum.StrEnum):
    """Why a signed study, or an image or frame of it, is excluded."""

    REJECTED = "rejected"  # study: the reader rejected the result and gave no class
    OUTDATED = "outdated"  # study: its newest analysis is not signed
    REFUSED = "refused"  # the input gate refused the image or frame
    NO_OUTLINE = "no-outline"  # an image without an outline, of a study with a lesion
    NO_REGION = "no-region"  # the B-mode region is unknown
    OUTSIDE_REGION = "outside-region"  # all outlines lie outside the B-mode region
    UNREADABLE = "unreadable"  # a file is damaged or missing


@dataclass(frozen=True, eq=False)
class Crop:
    """The B-mode region of a frame. ``pixels`` and each mask have the shape ``(h, w)``."""

    pixels: Gray
    masks: tuple[Mask, ...]
    """One per lesion."""


@dataclass(frozen=True, eq=False)
class LabeledImage:
    """One still or frame with its class."""

    study_id: UUID
    patient: int
    """Sequential number from 1; identifies the patient in the export only."""
    label: str
    birads: str
    """Empty if the reader gave no category."""
    label_conflict: bool
    crop: Crop


@dataclass(frozen=True)
class _SignedStudy:
    """The newest analysis of a study and its signed review."""

    analysis: Analysis
    label: str
    birads: str
    outlines: tuple[ReaderOutline, ...]

    @property
    def images(self) -> list[Finding]:
        findings = [
            finding for finding in self.analysis.findings if finding.kind is FindingKind.IMAGE
        ]
        return sorted(findings, key=lambda image: image.number)

    def outlines_of(self, image: Finding) -> OutlinesByFrame:
        """Return the outlines of an image: the reader's where there are any, else the networks'.

        An empty contour marks an outline that the reader removed.
        """
        if self.label == NORMAL:  # outlines would contradict the class
            return {image.frame_number: ()}
        lesions = [
            finding for finding in self.analysis.findings if finding.kind is FindingKind.LESION
        ]
        outlines: list[Outline] = [*lesions, *self.outlines]
        latest = {
            (outline.tracking_uid, outline.frame_number): outline
            for outline in outlines
            if outline.instance_id == image.instance_id
        }
        by_frame: defaultdict[int, list[Outline]] = defaultdict(list)
        for outline in sorted(latest.values(), key=lambda each: (each.frame_number, each.number)):
            if outline.contour:
                by_frame[outline.frame_number].append(outline)
        return by_frame


class LabeledImages:
    """Iterates over the labeled images of an installation, one in memory at a time.

    The order follows the random ids of the studies, so that it reveals no dates; the same database
    gives the same images in the same order. ``excluded`` counts exclusions during an iteration.
    """

    def __init__(self, database: Database, store: FileStore) -> None:
        self.excluded: Counter[Exclusion] = Counter()
        self._database = database
        self._store = store
        self._patients: dict[tuple[str, ...], int] = {}

    def __iter__(self) -> Iterator[LabeledImage]:
        self.excluded.clear()
        self._patients.clear()
        with self._database.read() as session:
            studies = reviews.list_signed_studies(session)
        for study_id in studies:
            with self._database.read() as session:
                study = _load_signed_study(session, study_id)
            if isinstance(study, Exclusion):
                self.excluded[study] += 1
            else:
                yield from self._label_images(study)

    def _label_images(self, study: _SignedStudy) -> Iterator[LabeledImage]:
        key = _patient_key(study.analysis.study)
        patient = self._patients.setdefault(key, len(self._patients) + 1)
        refused = [refusal for refusal in study.analysis.refusals if refusal.frame_number is None]
        self.excluded[Exclusion.REFUSED] += len(refused)
        outlines = [(image, study.outlines_of(image)) for image in study.images]
        malignant = [image for image, lesions in outlines if lesions and image.label == MALIGNANT]
        for image, lesions in outlines:
            conflict = study.label == MALIGNANT and bool(malignant) and image not in malignant
            for crop in _crop_frames(image, lesions, self._store):
                if isinstance(crop, Exclusion):
                    self.excluded[crop] += 1
                    if crop is Exclusion.UNREADABLE:
                        logger.warning("image %s excluded: unreadable", image.instance_id)
                    continue
                yield LabeledImage(
                    study.analysis.study_id, patient, study.label, study.birads, conflict, crop
                )


def _load_signed_study(session: Session, study_id: UUID) -> _SignedStudy | Exclusion:
    analysis = find_current_analysis(session, study_id)
    review = reviews.find_signed(session, analysis.id) if analysis else None
    if analysis is None or review is None:
        return Exclusion.OUTDATED
    if review.final_label is None:
        return Exclusion.REJECTED
    return _SignedStudy(
        analyses.load_complete(session, analysis.id),
        review.final_label,
        review.birads or "",
        load_outlines(review),
    )


def _patient_key(study: Study) -> tuple[str, ...]:
    """Return what identifies the patient: Patient ID, else name and birth date, else the study.

    A name alone does not identify a patient.
    """
    if patient_id := study.patient_id.strip():
        return ("id", patient_id)
    name_and_date = study.patient_name.strip(), study.patient_birth_date
    return ("name", *name_and_date) if all(name_and_date) else ("study", str(study.id))


def _crop_frames(
    image: Finding, outlines: OutlinesByFrame, store: FileStore
) -> Iterator[Crop | Exclusion]:
    """Yield each frame that has outlines or is normal, or why it is excluded."""
    if not outlines:
        yield Exclusion.NO_OUTLINE
        return
    try:
        region, frames = _open_frames(image, sorted(outlines), store)
        for number, frame in frames:
            yield _crop_frame(frame, region, outlines[number], store)
    except _READ_ERRORS:
        yield Exclusion.UNREADABLE


def _open_frames(
    image: Finding, numbers: Sequence[int], store: FileStore
) -> tuple[BModeRegion | None, Iterator[tuple[int, Frame | RefusalReason]]]:
    """Return the region that was analyzed, and frames by their 1-based numbers."""
    image_file = open_image_file(store.path(image.instance.file))
    first = image.frames[0].frame_number if image.frames else image.frame_number
    _, frame = next(image_file.decode_frames([first - 1]))
    region = None if isinstance(frame, RefusalReason) else image_file.find_region(frame)
    frames = image_file.decode_frames([number - 1 for number in numbers])
    return region, ((index + 1, frame) for index, frame in frames)


def _crop_frame(
    frame: Frame | RefusalReason,
    region: BModeRegion | None,
    outlines: Sequence[Outline],
    store: FileStore,
) -> Crop | Exclusion:
    if isinstance(frame, RefusalReason) or region is None:
        return Exclusion.UNREADABLE
    if region.source == "whole":
        return Exclusion.NO_REGION
    if find_pixel_refusal(frame, region):
        return Exclusion.REFUSED
    rows, columns = frame.shape[:2]
    inside = np.s_[region.y0 : region.y1, region.x0 : region.x1]
    masks = [_read_outline(outline, (rows, columns), store)[inside] for outline in outlines]
    masks = [mask for mask in masks if mask.any()]
    if outlines and not masks:
        return Exclusion.OUTSIDE_REGION
    return Crop(to_gray(frame[inside]), tuple(masks))


def _read_outline(outline: Outline, shape: tuple[int, int], store: FileStore) -> Mask:
    if isinstance(outline, ReaderOutline):
        return enclosed_lesion(outline.contour, shape).mask
    assert outline.mask_file is not None  # every lesion of an analysis has one
    return read_mask(store.path(outline.mask_file))
