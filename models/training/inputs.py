"""Samples as a recipe's network wants them: square, gray or RGB, letterboxed or squashed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.preprocess import Placement, letterbox
from models.recipe import InputSpec
from models.training.dataset import Sample, SampleArrays
from models.training.pictures import read_rgb


def load_inputs(samples: Sequence[Sample], spec: InputSpec) -> SampleArrays:
    """Read all samples into memory (50 kB each at 224 gray pixels), RGB as ``(n, s, s, 3)``."""
    side = spec.size_px
    pixels = np.zeros((len(samples), side, side, *((3,) if spec.channels == 3 else ())), np.uint8)
    lesions = np.zeros((len(samples), side, side), np.bool_)
    for row, sample in enumerate(samples):
        pixels[row], _, lesion = load_input(sample, spec)
        scaled, _ = _fitted(lesion.astype(np.uint8) * 255, spec)
        lesions[row] = scaled > 127
    return SampleArrays(pixels, lesions, np.array([sample.label for sample in samples]))


def load_input(
    sample: Sample, spec: InputSpec
) -> tuple[NDArray[np.uint8], Placement, NDArray[np.bool_]]:
    """Read one sample: ``(s, s)`` or ``(s, s, 3)``, where it lies in it, its lesion's own size."""
    gray, lesion = sample.read()
    if spec.channels == 1:
        return *_fitted(gray, spec), lesion
    planes = [_fitted(plane, spec) for plane in np.moveaxis(read_rgb(sample.image), -1, 0)]
    return np.stack([square for square, _ in planes], -1), planes[0][1], lesion


def as_input(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give gray ``(n, s, s)`` its channel; RGB stays as it is."""
    return pixels[..., None] if pixels.ndim == 3 else pixels


def _fitted(plane: NDArray[np.uint8], spec: InputSpec) -> tuple[NDArray[np.uint8], Placement]:
    side = spec.size_px
    if spec.fit == "letterbox":
        return letterbox(plane, side)
    height, width = plane.shape
    scaled = Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(scaled), Placement(side, 0, 0, side, side, height, width)
