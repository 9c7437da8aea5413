"""A phantom study, its analysis and a signed review, for every kind of result object."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
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
from workers.pipeline.study import algorithm_of, build_study_result, tracking_id
from workers.results.loading import PHANTOM_NOTE

PATIENT_ID: Final = "SONOGATE-TEST"
_ROWS, _COLUMNS, _SPACING_MM, _FRAMES = 240, 320, 0.16, 5
_MALIGNANT: Final[Probabilities] = (0.04, 0.06, 0.9)
_NORMAL: Final[Probabilities] = (0.9, 0.07, 0.03)
_HEAT_MAP_BLUR_PX: Final = 8
_DRAWN_HALF_SIDE_PX: Final = 12
"""Half the side of the square lesion that the reader draws."""


class PhantomPredictor:
    """Returns the known mask and class of each phantom, so that no network is loaded."""

    info = PresetInfo("phantom", "1", "0" * 64, "0" * 64)

    def __init__(self, phantoms: Iterable[Phantom]) -> None:
        self._phantoms = iter(phantoms)

    def predict(
        self, frames: Sequence[NDArray[np.uint8]], *, batch_size: int = 8
    ) -> list[FramePrediction]:
        """Return the prediction of the next phantom for each frame."""
        predictions = []
        for _ in frames:
            mask = next(self._phantoms).mask
            heat = ndimage.gaussian_filter(mask.astype(np.float32), _HEAT_MAP_BLUR_PX)
            if mask.any():
                predictions.append(FramePrediction(_MALIGNANT, mask, heat / heat.max()))
            else:
                predictions.append(FramePrediction(_NORMAL, mask, heat))
        return predictions


def make_result(folder: Path, *, run: str, now: datetime) -> StudyResult:
    """Write a still and a cine to `folder`, and return their analysis.

    Each `run` has UIDs of its own.
    """
    facts = StudyContext(
        study_instance_uid=derived_uid("destination-test", run),
        patient_id=PATIENT_ID,
        patient_name="Sonogate^Test",
        study_datetime=now,
        study_description="Sonogate test, phantom images",
        laterality="L",
    )
    size = {"height": _ROWS, "width": _COLUMNS}
    still = [make_phantom("spiculated", seed=31, spacing_mm=_SPACING_MM, **size)]
    cine = make_cine("spiculated", seed=32, frames=_FRAMES, spacing_mm=_SPACING_MM, **size)
    images = []
    for number, phantoms in enumerate((still, cine), start=1):
        path = _write_image(phantoms, folder / f"{number}.dcm", facts, number)
        images.append(analyze_image(path, PhantomPredictor(phantoms)))
    return build_study_result(
        images,
        analysis_id=derived_uid("destination-test-analysis", run),
        algorithm=algorithm_of(PhantomPredictor.info),
        produced_at=now,
        note=PHANTOM_NOTE,
    )


def make_review(result: StudyResult) -> SignedReview:
    """Return a signed review of `make_result`.

    The reader enlarged the outline on the still and drew a second lesion in one of its corners.
    """
    still = result.images[0]
    known = {lesion.tracking_uid for image in result.images for lesion in image.lesions}
    enlarged = ndimage.binary_dilation(still.lesions[0].mask, iterations=2)
    square = np.zeros_like(enlarged)
    side = slice(_DRAWN_HALF_SIDE_PX, 3 * _DRAWN_HALF_SIDE_PX)
    square[side, side] = True
    drawn = replace(
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
        reason="phantom review of a destination test",
        comment=PHANTOM_NOTE,
        signed_at=result.produced_at,
        outlines={
            still.sop_instance_uid: (
                _with_mask(still, replace(still.lesions[0], origin="corrected"), enlarged),
                _with_mask(still, drawn, square),
            )
        },
    )


def _with_mask(image: ImageResult, lesion: LesionResult, mask: NDArray[np.bool_]) -> LesionResult:
    """Return `lesion` with another mask and its measurements."""
    (outline,) = find_lesions(mask, image.spacing_mm, min_area_px=1, max_lesions=1)
    return replace(
        lesion,
        mask=outline.mask,
        contour=outline.contour,
        measurements=outline.measurements,
        probability=None,
    )


def _write_image(phantoms: Sequence[Phantom], path: Path, study: StudyContext, number: int) -> Path:
    frames = [phantom.image for phantom in phantoms]
    is_cine = len(frames) > 1
    dataset = build_ultrasound_image(
        frames if is_cine else frames[0],
        study=study,
        spacing_mm=_SPACING_MM,
        instance_number=number,
    )
    if not is_cine:  # place the still in space, as a tracked probe does: heatmap-pm needs it
        dataset.FrameOfReferenceUID = derived_uid(
            "destination-test-space", study.study_instance_uid
        )
        dataset.PositionReferenceIndicator = None
        dataset.ImagePositionPatient = [0, 0, 0]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [_SPACING_MM, _SPACING_MM]
    return write_dataset(dataset, path).path
