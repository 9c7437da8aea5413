"""Images with painted lesions, and a predictor that recognizes them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from models.phantom import make_phantom
from models.types import FramePrediction, PresetInfo

MALIGNANT, BENIGN = 255, 245
ROWS, COLUMNS = 160, 200
NORMAL_PROBABILITIES = (0.9, 0.07, 0.03)
BENIGN_PROBABILITIES = (0.1, 0.8, 0.1)
MALIGNANT_PROBABILITIES = (0.04, 0.06, 0.9)
Pixels = NDArray[np.uint8]


class FakePredictor:
    """Classifies by paint: white is malignant, nearly white is benign, otherwise normal."""

    def __init__(self) -> None:
        self.info = PresetInfo("painted", "1", "ab" * 32, "cd" * 32)
        self.batches: list[int] = []

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        self.batches.append(len(frames))
        return [self._predict_frame(frame) for frame in frames]

    def _predict_frame(self, frame: Pixels) -> FramePrediction:
        gray = frame if frame.ndim == 2 else frame.max(axis=2)
        mask = gray >= BENIGN - 2
        probabilities = NORMAL_PROBABILITIES
        if mask.any():
            probabilities = (
                MALIGNANT_PROBABILITIES if gray.max() >= MALIGNANT - 2 else BENIGN_PROBABILITIES
            )
        return FramePrediction(probabilities, mask, mask.astype(np.float32))


class FakeSoftPredictor(FakePredictor):
    """Also returns lesion probabilities, which decrease toward the edge of a lesion."""

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        predictions = super().predict(frames, batch_size=batch_size)
        return [replace(each, lesion_probability=_soft(each.mask)) for each in predictions]


def _soft(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 4)
    return np.rint(255 * smooth).astype(np.uint8)


@cache
def _tissue() -> Pixels:
    phantom = make_phantom("normal", seed=1, height=ROWS, width=COLUMNS, spacing_mm=0.1)
    return np.clip(phantom.image, 20, 200)


def draw_frame(*lesions: tuple[int, int, int], paint: int = MALIGNANT) -> Pixels:
    """Draw tissue with discs: (x, y, radius) in pixels."""
    canvas = _tissue().copy()
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    for x, y, radius in lesions:
        canvas[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = paint
    return canvas


def study(uid: str = "1.2.3.4") -> StudyContext:
    return StudyContext(
        study_instance_uid=uid,
        patient_id="P-1",
        patient_name="Muster^Anna",
        study_datetime=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        study_description="US breast left",
    )


def write_image(
    path: Path,
    pixels: Pixels | Sequence[Pixels],
    *,
    number: int = 1,
    facts: StudyContext | None = None,
    spacing_mm: float | None = 0.1,
    region: tuple[int, int, int, int] | None = None,
) -> Path:
    """Write a DICOM file of a still, or of a cine if there are several frames."""
    dataset = build_ultrasound_image(
        pixels,
        study=facts or study(),
        instance_number=number,
        spacing_mm=spacing_mm,
        region=region,
    )
    write_dataset(dataset, path)
    return path
