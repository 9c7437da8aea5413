"""Pictures whose lesions are painted on, and a network that sees just that."""

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
NORMAL_SAYS = (0.9, 0.07, 0.03)
BENIGN_SAYS = (0.1, 0.8, 0.1)
MALIGNANT_SAYS = (0.04, 0.06, 0.9)
Picture = NDArray[np.uint8]


class PaintedPredictor:
    """Finds what was painted: white is malignant, nearly white is benign, all else is normal."""

    def __init__(self) -> None:
        self.info = PresetInfo("painted", "1", "ab" * 32, "cd" * 32)
        self.batches: list[int] = []

    def predict(self, frames: Sequence[Picture], *, batch_size: int = 8) -> list[FramePrediction]:
        self.batches.append(len(frames))
        return [self._see(frame) for frame in frames]

    def _see(self, frame: Picture) -> FramePrediction:
        gray = frame if frame.ndim == 2 else frame.max(axis=2)
        mask = gray >= BENIGN - 2
        says = NORMAL_SAYS
        if mask.any():
            says = MALIGNANT_SAYS if gray.max() >= MALIGNANT - 2 else BENIGN_SAYS
        return FramePrediction(says, mask, mask.astype(np.float32))


class SoftPredictor(PaintedPredictor):
    """Also says how surely: the less the nearer a pixel is to the edge of what is painted."""

    def predict(self, frames: Sequence[Picture], *, batch_size: int = 8) -> list[FramePrediction]:
        seen = super().predict(frames, batch_size=batch_size)
        return [replace(each, lesion_probability=_soft(each.mask)) for each in seen]


def _soft(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 4)
    return np.rint(255 * smooth).astype(np.uint8)


@cache
def _tissue() -> Picture:
    phantom = make_phantom("normal", seed=1, height=ROWS, width=COLUMNS, spacing_mm=0.1)
    return np.clip(phantom.image, 20, 200)


def picture(*lesions: tuple[int, int, int], paint: int = MALIGNANT) -> Picture:
    """Tissue with discs painted on: (x, y, radius) in pixels."""
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


def write(
    path: Path,
    pixels: Picture | Sequence[Picture],
    *,
    number: int = 1,
    facts: StudyContext | None = None,
    spacing_mm: float | None = 0.1,
    region: tuple[int, int, int, int] | None = None,
) -> Path:
    """A DICOM file of a still, or of a cine when given several frames."""
    dataset = build_ultrasound_image(
        pixels,
        study=facts or study(),
        instance_number=number,
        spacing_mm=spacing_mm,
        region=region,
    )
    write_dataset(dataset, path)
    return path
