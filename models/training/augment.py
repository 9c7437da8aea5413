"""Data augmentation: random changes of training images that preserve the diagnosis.

`augment_ultrasound` is designed for B-mode images: no vertical flip, because shadows are cast
downwards; little stretch, because orientation is a sign of malignancy; gain and contrast within
the range of scanner settings; and calipers painted on images of every class, because in public
data only lesions were measured, which a network would learn. `augment_generic` applies the usual
changes that recipes from publications name.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.recipe import AugmentSpec

Pair = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Pixels and lesion masks."""


def augment_ultrasound(
    pixels: NDArray[np.uint8], lesion: NDArray[np.bool_], rng: np.random.Generator
) -> Pair:
    """Return a changed copy of an image ``(s, s)`` and its mask."""
    moved, moved_lesion = _transform(pixels, lesion, rng)
    return _paint_calipers(_change_gain(moved, rng), rng), moved_lesion


def augment_ultrasound_batch(
    pixels: NDArray[np.uint8], lesions: NDArray[np.bool_], rng: np.random.Generator
) -> Pair:
    """Apply `augment_ultrasound` to each of ``(n, s, s)``."""
    pairs = [augment_ultrasound(x, y, rng) for x, y in zip(pixels, lesions, strict=True)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def _transform(
    pixels: NDArray[np.uint8], lesion: NDArray[np.bool_], rng: np.random.Generator
) -> Pair:
    """Mirror, rotate by up to 10°, scale by up to a quarter, shift by up to a tenth."""
    angle = np.deg2rad(rng.uniform(-10, 10))
    scale = np.exp(rng.uniform(-0.22, 0.22)) * np.exp(rng.uniform(-0.07, 0.07, 2))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation * scale * np.array([1, rng.choice([-1, 1])])
    center = (np.array(pixels.shape) - 1) / 2
    offset = center - matrix @ center + rng.uniform(-0.1, 0.1, 2) * pixels.shape
    moved = ndimage.affine_transform(pixels, matrix, offset, order=1)
    return moved, ndimage.affine_transform(lesion, matrix, offset, order=0)


def _change_gain(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change gamma, contrast and gain; blur some images and add speckle noise to some."""
    x = (pixels * np.float32(1 / 255)) ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    x = x * np.float32(rng.uniform(0.7, 1.3)) + np.float32(rng.uniform(-0.08, 0.08)) * (pixels > 0)
    if rng.random() < 0.3:
        x = ndimage.gaussian_filter(x, rng.uniform(0.4, 1.2))
    if rng.random() < 0.6:
        strength = np.float32(rng.uniform(0, 0.15))
        # Speckle is multiplicative; its grains are squares of 1 to 3 pixels here.
        side = int(rng.integers(1, 4))
        coarse = rng.standard_normal([-(-length // side) for length in x.shape], np.float32)
        noise = np.kron(coarse, np.ones((side, side), np.float32))[: x.shape[0], : x.shape[1]]
        x = x * (1 + strength * noise)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def _paint_calipers(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint two crosses joined by a dotted line at random, on half of the images."""
    if rng.random() < 0.5:
        return pixels
    painted = pixels.copy()
    ends = rng.uniform(0.1, 0.9, (2, 2)) * pixels.shape
    for position in np.linspace(ends[0], ends[1], 24).astype(int):
        painted[tuple(position)] = 220
    for row, column in ends.astype(int):
        painted[row - 3 : row + 4, column] = painted[row, column - 3 : column + 4] = 240
    return painted


def augment_generic_batch(
    pixels: NDArray[np.uint8],
    lesions: NDArray[np.bool_],
    spec: AugmentSpec,
    rng: np.random.Generator,
) -> Pair:
    """Apply the generic changes of ``spec`` to each of ``(n, s, s)`` or ``(n, s, s, 3)``."""
    if spec.model_copy(update={"ultrasound": False}) == AugmentSpec():
        return pixels, lesions
    pairs = [_augment_generic(x, y, spec, rng) for x, y in zip(pixels, lesions, strict=True)]
    return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])


def _augment_generic(
    pixels: NDArray[np.uint8],
    lesion: NDArray[np.bool_],
    spec: AugmentSpec,
    rng: np.random.Generator,
) -> Pair:
    angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (spec.rotation_deg, spec.shear_deg))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, 0], [-np.sin(shear), 1]])
    flip_odds = 0.5 * np.array([spec.vertical_flip, spec.horizontal_flip])
    flips = np.where(rng.random(2) < flip_odds, -1, 1)
    scale = 1 + rng.uniform(-spec.zoom, spec.zoom)
    shift = rng.uniform(-spec.shift_fraction, spec.shift_fraction, 2)
    matrix = rotation @ slant * scale * flips
    center = (np.array(lesion.shape) - 1) / 2
    offset = center - matrix @ center + shift * lesion.shape

    channels = [
        ndimage.affine_transform(channel, matrix, offset, order=1, mode="nearest")
        for channel in np.moveaxis(np.atleast_3d(pixels), -1, 0)
    ]
    moved = np.stack(channels, -1).reshape(pixels.shape)
    moved_lesion = ndimage.affine_transform(lesion, matrix, offset, order=0, mode="nearest")

    brightness, contrast = 1 + rng.uniform(-1, 1, 2) * (spec.brightness, spec.contrast)
    mean = moved.mean()
    adjusted: NDArray[np.float64] = (moved - mean) * contrast + mean * brightness
    return np.clip(adjusted.round(), 0, 255).astype(np.uint8), moved_lesion
