"""Samples as network inputs: square, gray or RGB, letterboxed or stretched."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Sample, SampleArrays
from models.data.images import read_rgb
from models.preprocess import Placement, letterbox
from models.recipe import InputSpec


def load_inputs(samples: Sequence[Sample], spec: InputSpec) -> SampleArrays:
    """Read all samples into memory: 50 kB each for gray images of 224 pixels.

    Raises `DatasetError` if a file cannot be read.
    """
    side = spec.size_px
    pixels = np.zeros((len(samples), side, side, *((3,) if spec.channels == 3 else ())), np.uint8)
    lesions = np.zeros((len(samples), side, side), np.bool_)
    for row, sample in enumerate(samples):
        pixels[row], _, lesion = load_input(sample, spec)
        scaled, _ = _resize(lesion.astype(np.uint8) * 255, spec)
        lesions[row] = scaled > 127
    return SampleArrays(pixels, lesions, np.array([sample.label for sample in samples]))


def load_input(
    sample: Sample, spec: InputSpec
) -> tuple[NDArray[np.uint8], Placement, NDArray[np.bool_]]:
    """Read one sample.

    Returns its pixels ``(s, s)`` or ``(s, s, 3)``, where the image lies in them, and the lesion
    mask in the image's own size ``(h, w)``. Raises `DatasetError` if a file cannot be read.
    """
    gray, lesion = sample.read()
    if spec.channels == 1:
        return *_resize(gray, spec), lesion
    planes = [_resize(plane, spec) for plane in np.moveaxis(read_rgb(sample.image), -1, 0)]
    return np.stack([square for square, _ in planes], -1), planes[0][1], lesion


def add_channel_axis(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn gray ``(n, s, s)`` into ``(n, s, s, 1)``; return RGB ``(n, s, s, 3)`` unchanged."""
    return pixels[..., None] if pixels.ndim == 3 else pixels


def _resize(plane: NDArray[np.uint8], spec: InputSpec) -> tuple[NDArray[np.uint8], Placement]:
    side = spec.size_px
    if spec.fit == "letterbox":
        return letterbox(plane, side)
    height, width = plane.shape
    scaled = Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(scaled), Placement(side, 0, 0, side, side, height, width)
