"""Random changes to a training image that leave its diagnosis as it was.

Two kinds: our own, and what published works do (`distort_batch`). The strength of our own is
chosen for ultrasound: no upside-down flip (shadows fall downwards), stretch kept small
(orientation is a sign), gain and gamma as an operator turns them, and painted calipers, because
readers measured lesions but not normal tissue in the public data, which a network would learn.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.recipe import AugmentSpec

Pair = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def augment(pixels: NDArray[np.uint8], lesion: NDArray[np.bool_], rng: np.random.Generator) -> Pair:
    """Return a changed copy of ``(s, s)`` pixels and their lesion mask."""
    moved, moved_lesion = _move(pixels, lesion, rng)
    return _paint_calipers(_turn_knobs(moved, rng), rng), moved_lesion


def augment_batch(
    pixels: NDArray[np.uint8], lesions: NDArray[np.bool_], rng: np.random.Generator
) -> Pair:
    """Change each of ``(n, s, s)`` by itself."""
    pairs = [augment(image, lesion, rng) for image, lesion in zip(pixels, lesions, strict=True)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def _move(pixels: NDArray[np.uint8], lesion: NDArray[np.bool_], rng: np.random.Generator) -> Pair:
    """Mirror, turn by up to 10°, scale by up to a quarter, shift by up to a tenth."""
    angle = np.deg2rad(rng.uniform(-10, 10))
    scale = np.exp(rng.uniform(-0.22, 0.22)) * np.exp(rng.uniform(-0.07, 0.07, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * scale * np.array([1, rng.choice([-1, 1])])
    center = (np.array(pixels.shape) - 1) / 2
    offset = center - matrix @ center + rng.uniform(-0.1, 0.1, 2) * pixels.shape
    moved = ndimage.affine_transform(pixels, matrix, offset, order=1)
    return moved, ndimage.affine_transform(lesion, matrix, offset, order=0)


def _turn_knobs(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gamma, contrast and gain; on some, a blur as of another depth, and grain of another size."""
    x = (pixels * np.float32(1 / 255)) ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    x = x * np.float32(rng.uniform(0.7, 1.3)) + np.float32(rng.uniform(-0.08, 0.08)) * (pixels > 0)
    if rng.random() < 0.3:
        x = ndimage.gaussian_filter(x, rng.uniform(0.4, 1.2))
    if rng.random() < 0.6:
        x = x * (1 + np.float32(rng.uniform(0, 0.15)) * _grain(x.shape, rng))
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise in squares of one to three pixels: speckle is multiplicative and has a size."""
    side = int(rng.integers(1, 4))
    coarse = rng.standard_normal([-(-length // side) for length in shape], np.float32)
    return np.kron(coarse, np.ones((side, side), np.float32))[: shape[0], : shape[1]]


def _paint_calipers(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """On every other image, two crosses joined by a dotted line, wherever they fall."""
    if rng.random() < 0.5:
        return pixels
    painted = pixels.copy()
    ends = rng.uniform(0.1, 0.9, (2, 2)) * pixels.shape
    for position in np.linspace(ends[0], ends[1], 24).astype(int):
        painted[tuple(position)] = 220
    for row, column in ends.astype(int):
        painted[row - 3 : row + 4, column] = painted[row, column - 3 : column + 4] = 240
    return painted


def distort_batch(
    pixels: NDArray[np.uint8],
    lesions: NDArray[np.bool_],
    spec: AugmentSpec,
    rng: np.random.Generator,
) -> Pair:
    """Change each of ``(n, s, s)`` or ``(n, s, s, 3)`` as published works say that they do."""
    if spec.model_copy(update={"ultrasound": False}) == AugmentSpec():
        return pixels, lesions
    pairs = [_distort(x, y, spec, rng) for x, y in zip(pixels, lesions, strict=True)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def _distort(
    pixels: NDArray[np.uint8],
    lesion: NDArray[np.bool_],
    spec: AugmentSpec,
    rng: np.random.Generator,
) -> Pair:
    matrix, shift = _warp(spec, rng)
    center = (np.array(lesion.shape) - 1) / 2
    offset = center - matrix @ center + shift * lesion.shape

    planes = [
        ndimage.affine_transform(plane, matrix, offset, order=1, mode="nearest")
        for plane in np.moveaxis(np.atleast_3d(pixels), -1, 0)
    ]
    moved = np.stack(planes, -1).reshape(pixels.shape)
    moved_lesion = ndimage.affine_transform(lesion, matrix, offset, order=0, mode="nearest")
    return _relight(moved, spec, rng), moved_lesion


def _warp(
    spec: AugmentSpec, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A matrix from changed to original rows and columns, and a shift in shares of the side."""
    angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (spec.rotate_deg, spec.shear_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, 0], [-np.sin(shear), 1]])
    flips = np.where(rng.random(2) < 0.5 * np.array([spec.upside_down, spec.mirror]), -1, 1)
    scale = 1 + rng.uniform(-spec.zoom, spec.zoom)
    shift = rng.uniform(-spec.shift_share, spec.shift_share, 2)
    return turn @ slant * scale * flips, shift


def _relight(
    pixels: NDArray[np.uint8], spec: AugmentSpec, rng: np.random.Generator
) -> NDArray[np.uint8]:
    brightness, contrast = 1 + rng.uniform(-1, 1, 2) * (spec.brightness, spec.contrast)
    mean = pixels.mean()
    lit: NDArray[np.float64] = (pixels - mean) * contrast + mean * brightness
    return np.clip(lit.round(), 0, 255).astype(np.uint8)
