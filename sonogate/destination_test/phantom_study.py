"""A made-up study with every finding that results can carry, for trying out a destination."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.results.model import ImageResult, LesionResult, SignedReview, StudyResult
from dicom.terms.classification import MALIGNANT, Probabilities
from dicom.uids import derived_uid
from models.measure import find_lesions
from models.phantom import Phantom, make_cine, make_phantom
from models.types import FramePrediction, PresetInfo
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, study_result, tracking_id
from workers.results.saved import PHANTOM_NOTE

PATIENT_ID: Final = "SONOGATE-TEST"
_ROWS, _COLUMNS, _SPACING_MM, _FRAMES = 240, 320, 0.16, 5
_SUSPICIOUS: Final[Probabilities] = (0.04, 0.06, 0.9)
_NORMAL: Final[Probabilities] = (0.9, 0.07, 0.03)
_BLUR_PX: Final = 8
_DRAWN_PX: Final = 12
"""Half the side of the second lesion that the reader draws."""


class PhantomReader:
    """Says of each phantom what it is; nothing is guessed, so no network is loaded."""

    info = PresetInfo("phantom", "1", "0" * 64, "0" * 64)

    def __init__(self, phantoms: Iterable[Phantom]) -> None:
        self._next = iter(phantoms)

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        return [_reading(next(self._next)) for _ in frames]


def make_result(folder: Path, *, run: str, now: datetime) -> StudyResult:
    """A still and a cine, written into `folder`, and what is to be said of them.

    Another `run` gives the same pictures new UIDs.
    """
    facts = StudyContext(
        study_instance_uid=derived_uid("destination-test", run),
        patient_id=PATIENT_ID,
        patient_name="Sonogate^Test",
        study_datetime=now,
        study_description="Sonogate test, made-up pictures",
        laterality="L",
    )
    size = {"height": _ROWS, "width": _COLUMNS}
    still = [make_phantom("spiculated", seed=31, spacing_mm=_SPACING_MM, **size)]
    cine = make_cine("spiculated", seed=32, frames=_FRAMES, spacing_mm=_SPACING_MM, **size)
    images = []
    for number, phantoms in enumerate((still, cine), start=1):
        path = _write(phantoms, folder / f"{number}.dcm", facts, number)
        images.append(analyze_image(path, PhantomReader(phantoms)))
    return study_result(
        images,
        analysis_id=derived_uid("destination-test-analysis", run),
        algorithm=algorithm_of(PhantomReader.info),
        produced_at=now,
        note=PHANTOM_NOTE,
    )


def make_review(result: StudyResult) -> SignedReview:
    """What a made-up reader signs of `make_result`: the outline of the still is widened, and a
    second lesion is drawn into one of its corners.
    """
    still = result.images[0]
    known = {lesion.tracking_uid for image in result.images for lesion in image.lesions}
    corrected = ndimage.binary_dilation(still.lesions[0].mask, iterations=2)
    drawn = np.zeros_like(corrected)
    drawn[_DRAWN_PX : 3 * _DRAWN_PX, _DRAWN_PX : 3 * _DRAWN_PX] = True
    second = replace(
        still.lesions[0],
        tracking_uid=derived_uid("destination-test-lesion", result.analysis_id),
        tracking_id=tracking_id(len(known) + 1),
        origin="drawn",
    )
    return SignedReview(
        review_id=derived_uid("destination-test-review", result.analysis_id),
        reader_name="Sonogate^Reader",
        reader_organization="Sonogate test",
        reader_id="SONOGATE-TEST",
        decision="modify",
        final_label=MALIGNANT,
        birads="5",
        reason="made up, to try out a destination",
        comment=PHANTOM_NOTE,
        signed_at=result.produced_at,
        outlines={
            still.sop_instance_uid: (
                _outlined(still, replace(still.lesions[0], origin="corrected"), corrected),
                _outlined(still, second, drawn),
            )
        },
    )


def _outlined(image: ImageResult, lesion: LesionResult, mask: NDArray[np.bool_]) -> LesionResult:
    """`lesion` where `mask` is, measured anew."""
    (outline,) = find_lesions(mask, image.spacing_mm, min_area_px=1, max_lesions=1)
    return replace(
        lesion,
        mask=outline.mask,
        contour=outline.contour,
        measurements=outline.measurements,
        probability=None,
    )


def _write(phantoms: Sequence[Phantom], path: Path, study: StudyContext, number: int) -> Path:
    pictures = [phantom.image for phantom in phantoms]
    dataset = build_ultrasound_image(
        pictures if len(pictures) > 1 else pictures[0],
        study=study,
        spacing_mm=_SPACING_MM,
        instance_number=number,
    )
    if len(pictures) == 1:
        _place(dataset, study)
    return write_dataset(dataset, path).path


def _place(dataset: Dataset, study: StudyContext) -> None:
    """Lay the picture into a space of the phantom's own, as a tracked probe would."""
    dataset.FrameOfReferenceUID = derived_uid("destination-test-space", study.study_instance_uid)
    dataset.PositionReferenceIndicator = None
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [_SPACING_MM, _SPACING_MM]


def _reading(phantom: Phantom) -> FramePrediction:
    heat = ndimage.gaussian_filter(phantom.mask.astype(np.float32), _BLUR_PX)
    if not phantom.mask.any():
        return FramePrediction(_NORMAL, phantom.mask, heat)
    return FramePrediction(_SUSPICIOUS, phantom.mask, heat / heat.max())
