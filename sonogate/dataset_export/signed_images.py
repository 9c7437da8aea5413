"""What readers signed, as labeled images: the part that the networks see, and the lesions on it.

A reader signs the class of a study. Of its images this takes what follows from that, no guesses:

- normal: every analyzed image is normal and shows no lesion;
- benign or malignant: so is every frame with an outline that stands, be it the network's or the
  reader's. What a frame without one shows, nobody said.

A malignant study may show benign lesions too. Where the network called some outlined images
malignant and others not, nobody said of the others that they are: those are ``doubtful``.
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
from db.outlines import ReaderOutline, outlines_of
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
from workers.pipeline.image_file import open_picture
from workers.pipeline.types import Frame
from workers.results.gray_png import read_mask

_DAMAGED: Final = (OSError, SyntaxError, DicomError, ModelError)  # SyntaxError: Pillow's, of a PNG

Gray = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Outline = Finding | ReaderOutline
Standing = Mapping[int, Sequence[Outline]]
"""The outlines that count, by 1-based frame; a frame without any shows no lesion."""

logger = logging.getLogger(__name__)


class LeftOut(enum.StrEnum):
    """Why a signed study, or one still or frame of it, is passed over."""

    REJECTED = "rejected"  # study: the reader gave no class
    OUTDATED = "outdated"  # study: nobody signed its newest analysis yet
    REFUSED = "refused"  # the input gate keeps it from the networks
    NO_OUTLINE = "no-outline"  # nothing is outlined on an image of a study with a lesion
    NO_REGION = "no-region"  # the picture cannot be told from the text around it
    OUTSIDE_REGION = "outside-region"  # all that is outlined lies beside the picture
    UNREADABLE = "unreadable"


@dataclass(frozen=True, eq=False)
class SignedImage:
    """One still or frame. ``pixels`` ``(h, w)`` and masks are cut to the B-mode region."""

    study_id: UUID
    patient: int
    """Counts from 1 as patients are met, and tells nothing else of them."""
    label: str
    birads: str
    """Empty when the reader gave none."""
    doubtful: bool
    pixels: Gray
    masks: tuple[Mask, ...]
    """One for each lesion."""


@dataclass(frozen=True)
class _Signed:
    """The newest analysis of a study, and what the signed review of it says."""

    analysis: Analysis
    label: str
    birads: str
    outlines: tuple[ReaderOutline, ...]

    @property
    def images(self) -> list[Finding]:
        found = [each for each in self.analysis.findings if each.kind is FindingKind.IMAGE]
        return sorted(found, key=lambda image: image.number)


class SignedImages:
    """Those of a whole installation, one at a time.

    The same rows give the same images in the same order: that of the studies' own random ids,
    which tells nothing of when a study was made. ``left_out`` grows as they are walked.
    """

    def __init__(self, database: Database, store: FileStore) -> None:
        self.left_out: Counter[LeftOut] = Counter()
        self._database = database
        self._store = store
        self._patients: dict[tuple[str, ...], int] = {}

    def __iter__(self) -> Iterator[SignedImage]:
        self.left_out.clear()
        self._patients.clear()
        with self._database.read() as session:
            studies = reviews.signed_studies(session)
        for study_id in studies:
            with self._database.read() as session:
                signed = _look(session, study_id)
            if isinstance(signed, LeftOut):
                self.left_out[signed] += 1
            else:
                yield from self._of_study(signed)

    def _of_study(self, signed: _Signed) -> Iterator[SignedImage]:
        refused = [each for each in signed.analysis.refusals if each.frame_number is None]
        self.left_out[LeftOut.REFUSED] += len(refused)
        standing = [(image, _standing(signed, image)) for image in signed.images]
        suspect = [image for image, outlines in standing if outlines and image.label == MALIGNANT]
        for image, outlines in standing:
            doubtful = signed.label == MALIGNANT and bool(suspect) and image not in suspect
            for cut in self._cuts(image, outlines):
                yield SignedImage(
                    signed.analysis.study_id, self._patient(signed.analysis.study),
                    signed.label, signed.birads, doubtful, *cut,
                )  # fmt: skip

    def _cuts(self, image: Finding, outlines: Standing) -> Iterator[tuple[Gray, tuple[Mask, ...]]]:
        for cut in _cuts(image, outlines, self._store):
            if not isinstance(cut, LeftOut):
                yield cut
                continue
            self.left_out[cut] += 1
            if cut is LeftOut.UNREADABLE:
                logger.warning("image %s cannot be read: left out", image.instance_id)

    def _patient(self, study: Study) -> int:
        return self._patients.setdefault(_identity(study), len(self._patients) + 1)


def _look(session: Session, study_id: UUID) -> _Signed | LeftOut:
    analysis = find_current_analysis(session, study_id)
    review = reviews.find_signed(session, analysis.id) if analysis else None
    if analysis is None or review is None:
        return LeftOut.OUTDATED
    if review.final_label is None:
        return LeftOut.REJECTED
    return _Signed(
        analyses.whole(session, analysis.id),
        review.final_label,
        review.birads or "",
        outlines_of(review),
    )


def _identity(study: Study) -> tuple[str, ...]:
    """What studies of one patient have in common; one that names nobody stands alone.

    A name alone may change, or be that of two women.
    """
    if patient_id := study.patient_id.strip():
        return ("id", patient_id)
    named = study.patient_name.strip(), study.patient_birth_date
    return ("name", *named) if all(named) else ("study", str(study.id))


def _standing(signed: _Signed, image: Finding) -> Standing:
    """Outlines of an image, the reader's in the place of the network's; those removed are gone."""
    if signed.label == NORMAL:  # an outline beside that word would contradict it
        return {image.frame_number: ()}
    lesions = [each for each in signed.analysis.findings if each.kind is FindingKind.LESION]
    outlines: list[Outline] = [*lesions, *signed.outlines]
    left = {
        (each.tracking_uid, each.frame_number): each
        for each in outlines
        if each.instance_id == image.instance_id
    }
    by_frame: defaultdict[int, list[Outline]] = defaultdict(list)
    for outline in sorted(left.values(), key=lambda each: (each.frame_number, each.number)):
        if outline.contour:
            by_frame[outline.frame_number].append(outline)
    return by_frame


def _cuts(
    image: Finding, outlines: Standing, store: FileStore
) -> Iterator[tuple[Gray, tuple[Mask, ...]] | LeftOut]:
    """Each frame that counts with its masks, or the reason why there is none."""
    if not outlines:
        yield LeftOut.NO_OUTLINE
        return
    try:
        region, frames = _shown(image, sorted(outlines), store)
        for number, frame in frames:
            yield _cut(frame, region, outlines[number], store)
    except _DAMAGED:
        yield LeftOut.UNREADABLE


def _shown(
    image: Finding, numbers: Sequence[int], store: FileStore
) -> tuple[BModeRegion | None, Iterator[tuple[int, Frame | RefusalReason]]]:
    """The region that the networks were shown, and frames by their 1-based numbers."""
    picture = open_picture(store.path(image.instance.file))
    first = image.frames[0].frame_number if image.frames else image.frame_number
    _, frame = next(picture.frames([first - 1]))
    region = None if isinstance(frame, RefusalReason) else picture.region(frame)
    found = picture.frames([number - 1 for number in numbers])
    return region, ((index + 1, frame) for index, frame in found)


def _cut(
    frame: Frame | RefusalReason,
    region: BModeRegion | None,
    outlines: Sequence[Outline],
    store: FileStore,
) -> tuple[Gray, tuple[Mask, ...]] | LeftOut:
    if isinstance(frame, RefusalReason) or region is None:
        return LeftOut.UNREADABLE
    if region.source == "whole":
        return LeftOut.NO_REGION
    if find_pixel_refusal(frame, region):
        return LeftOut.REFUSED
    rows, columns = frame.shape[:2]
    inside = np.s_[region.y0 : region.y1, region.x0 : region.x1]
    whole = [_mask(outline, (rows, columns), store) for outline in outlines]
    masks = tuple(mask[inside] for mask in whole if mask[inside].any())
    if outlines and not masks:
        return LeftOut.OUTSIDE_REGION
    return to_gray(frame[inside]), masks


def _mask(outline: Outline, shape: tuple[int, int], store: FileStore) -> Mask:
    if isinstance(outline, ReaderOutline):
        return enclosed_lesion(outline.contour, shape).mask
    assert outline.mask_file is not None
    return read_mask(store.path(outline.mask_file))
