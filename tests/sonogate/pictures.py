"""Small images with a bright square, as files of every kind that people hand in."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image

HEIGHT, WIDTH = 120, 160
SPOT = (40, 30, 80, 60)
"""x0, y0, x1, y1 of the bright square, ends exclusive."""
SPACING_MM = 0.5


def picture(*, spot: bool = True) -> NDArray[np.uint8]:
    """Gray tissue-like noise that fills the image, with the square or without."""
    noise = np.random.default_rng(1).integers(60, 120, (HEIGHT, WIDTH))
    pixels = noise.astype(np.uint8)
    if spot:
        x0, y0, x1, y1 = SPOT
        pixels[y0:y1, x0:x1] = 250
    return pixels


def png(path: Path, *, spot: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(spot=spot)).save(path)
    return path


def still(path: Path, *, spot: bool = True, spacing_mm: float | None = SPACING_MM) -> Path:
    return _wrapped(path, picture(spot=spot), spacing_mm)


def cine(path: Path) -> Path:
    """Four frames, the square on the last two."""
    frames = [picture(spot=number > 1) for number in range(4)]
    return _wrapped(path, frames, SPACING_MM)


def ct(path: Path) -> Path:
    """An image that is read without trouble and must not be analyzed."""
    dataset = dcmread(still(path))
    dataset.SOPClassUID, dataset.Modality = CTImageStorage, "CT"
    write_dataset(dataset, path)
    return path


def _wrapped(
    path: Path, pixels: NDArray[np.uint8] | list[NDArray[np.uint8]], spacing_mm: float | None
) -> Path:
    study = StudyContext(
        study_instance_uid="1.2.3.4",
        patient_id="PHANTOM-TEST",
        patient_name="Phantom^Test",
        study_datetime=datetime(2026, 1, 2, tzinfo=UTC),
    )
    dataset = build_ultrasound_image(pixels, study=study, spacing_mm=spacing_mm)
    return write_dataset(dataset, path).path
