"""Synthetic B-mode breast ultrasound images, for tests and demonstrations.

They are not suitable for testing diagnoses. A field of random scatterers, scaled by an echogenicity
map of the tissue, is blurred by a point spread function that widens away from the focus (linear
convolution model, Bamber 1980), weighted by attenuation along each scan line, envelope-detected and
log-compressed. The same seed gives the same pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

KINDS: tuple[str, ...] = ("normal", "cyst", "fibroadenoma", "spiculated")
DYNAMIC_RANGE_DB = 58.0

_Map = NDArray[np.float64]


@dataclass(frozen=True)
class Phantom:
    """A B-mode image ``(h, w)`` with its lesion mask ``(h, w)``; pixels are square."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    kind: str
    spacing_mm: float


@dataclass(frozen=True)
class _Lesion:
    """Position, shape and echogenicity of a lesion; decibels are relative to glandular tissue."""

    x_mm: float
    y_mm: float
    radius_mm: float
    flatness: float
    tilt_rad: float
    ripple: float
    echo_db: float
    rim_db: float
    through_db: float
    spikes: int = 0
    texture_db: float = 1.0


@dataclass(frozen=True)
class _Scene:
    """A slice through a breast, with the lesion in its size within the slice."""

    height: int
    width: int
    spacing_mm: float
    seed: int
    lesion: _Lesion | None
    shift_mm: float = 0.0
    sweep_rad: float = 0.0

    @cached_property
    def grid(self) -> tuple[_Map, _Map]:
        """Depth and lateral position of the pixel centers in mm, each ``(h, w)``."""
        rows, columns = np.mgrid[: self.height, : self.width].astype(np.float64) + 0.5
        return rows * self.spacing_mm, columns * self.spacing_mm

    def rng(self, *use: int) -> np.random.Generator:
        """Return a separate random stream for each use, so that uses do not affect each other."""
        return np.random.default_rng([self.seed, *use])


def make_phantom(
    kind: str, *, seed: int, height: int = 480, width: int = 640, spacing_mm: float = 0.08
) -> Phantom:
    """Generate a still of one of `KINDS`. Raises ValueError for any other kind."""
    lesion = _choose_lesion(kind, seed, height * spacing_mm, width * spacing_mm)
    return _render(_Scene(height, width, spacing_mm, seed, lesion), kind)


def make_cine(
    kind: str,
    *,
    seed: int,
    frames: int,
    height: int = 480,
    width: int = 640,
    spacing_mm: float = 0.08,
) -> list[Phantom]:
    """Generate a cine in which the probe sweeps across a lesion.

    With five or more frames, the first and the last one do not show the lesion. Raises ValueError
    for a kind that is not in `KINDS`.
    """
    lesion = _choose_lesion(kind, seed, height * spacing_mm, width * spacing_mm)
    cine = []
    for step in np.linspace(-1.25, 1.25, frames).tolist() if frames > 1 else [0.0]:
        # The lesion is spherical; ``step`` is the distance from its center in radii.
        section = None
        if lesion is not None and abs(step) < 1:
            section = replace(lesion, radius_mm=lesion.radius_mm * float(np.sqrt(1 - step**2)))
        scene = _Scene(height, width, spacing_mm, seed, section, 2.5 * step, 0.5 * step)
        cine.append(_render(scene, kind))
    return cine


@dataclass(frozen=True)
class _LesionType:
    """Ranges that a lesion's shape is drawn from, and its echogenicity; see `_Lesion`."""

    flatness: tuple[float, float]
    tilt_rad: float
    ripple: float
    echo_db: float
    rim_db: float
    through_db: float
    spikes: tuple[int, int] | None = None
    texture_db: float = 1.0


_LESION_TYPES: Mapping[str, _LesionType] = {
    # Anechoic with a thin bright wall and posterior enhancement.
    "cyst": _LesionType((0.75, 0.95), 0.2, 0.03, echo_db=-46, rim_db=5, through_db=9),
    # Oval, parallel, circumscribed, homogeneously hypoechoic.
    "fibroadenoma": _LesionType((0.5, 0.65), 0.15, 0.05, echo_db=-17, rim_db=2, through_db=2),
    # Irregular, not parallel, spiculated, with posterior shadowing.
    "spiculated": _LesionType(
        (1.05, 1.25), 0.3, 0.12, echo_db=-19, rim_db=0, through_db=-19, spikes=(10, 16),
        texture_db=3.0,
    ),
}  # fmt: skip


def _choose_lesion(kind: str, seed: int, depth_mm: float, width_mm: float) -> _Lesion | None:
    if kind not in KINDS:
        raise ValueError(f"unknown phantom kind {kind!r}: choose one of {', '.join(KINDS)}")
    if kind == "normal":
        return None
    rng, lesion = np.random.default_rng([seed, 0]), _LESION_TYPES[kind]
    return _Lesion(
        x_mm=width_mm * rng.uniform(0.36, 0.64),
        y_mm=depth_mm * rng.uniform(0.40, 0.50),
        radius_mm=min(depth_mm, width_mm) * rng.uniform(0.12, 0.17),
        flatness=rng.uniform(*lesion.flatness),
        tilt_rad=rng.uniform(-lesion.tilt_rad, lesion.tilt_rad),
        ripple=lesion.ripple,
        echo_db=lesion.echo_db,
        rim_db=lesion.rim_db,
        through_db=lesion.through_db,
        spikes=int(rng.integers(*lesion.spikes)) if lesion.spikes else 0,
        texture_db=lesion.texture_db,
    )


def _render(scene: _Scene, kind: str) -> Phantom:
    echo_db, loss_db = _tissue(scene)
    mask = np.zeros(echo_db.shape, np.bool_)
    if scene.lesion is not None:
        mask = _draw_lesion(scene, scene.lesion, echo_db, loss_db)
    envelope = _speckle(scene, echo_db) * 10 ** (loss_db / 20)
    noise = np.abs(scene.rng(41).standard_normal(envelope.shape)) * 10 ** (-44 / 20)
    level_db = 20 * np.log10(np.hypot(envelope, noise) + 1e-6)
    # Glandular tissue becomes mid-gray.
    gray = (level_db + DYNAMIC_RANGE_DB - 23) / DYNAMIC_RANGE_DB
    image = np.asarray(np.clip(gray, 0, 1) * 255, np.uint8)
    return Phantom(image, mask, kind, scene.spacing_mm)


def _tissue(scene: _Scene) -> tuple[_Map, _Map]:
    """Return echogenicity and attenuation in dB, each ``(h, w)``.

    The layers are skin, fat with septa, glandular tissue, deep fat, fascia and muscle.
    """
    depth, _ = scene.grid
    total = scene.height * scene.spacing_mm
    bounds = [
        _boundary(scene, k, share * total) for k, share in enumerate((0.05, 0.25, 0.70, 0.78))
    ]
    skin, fat, gland, deep = bounds
    # Streaked fibroglandular tissue with darker islands of fat and ducts.
    islands = np.clip(_noise(scene, 16, 4.5, 2.2) - 0.9, 0, 1)
    streaks = 1.8 * _noise(scene, 12, 5.0, 0.9) + 1.5 * _noise(scene, 17, 3.0, 2.5)
    gland_texture = streaks - 9 * islands
    echo = np.select(
        [depth < skin, depth < fat, depth < gland, depth < deep],
        [
            np.full(depth.shape, 3.0),
            -18 + _septa(scene, 11, 9.0, 3.2),
            gland_texture,
            -17 + _septa(scene, 13, 8.0, 3.0),
        ],
        -13 + 3.5 * _noise(scene, 15, 14.0, 0.7),  # muscle fibers
    )
    for bound, db, thickness in ((skin, 5, 0.22), (deep, 9, 0.3)):
        np.maximum(echo, db - ((depth - bound) / thickness) ** 2 * 8, out=echo)
    np.maximum(echo, 8 - ((depth - 0.4) / 0.3) ** 2 * 8, out=echo)
    shadows = ndimage.gaussian_filter1d(scene.rng(14).standard_normal(scene.width), 14)
    loss = shadows * 4.0 - 12.0 * (depth / total) ** 2
    return echo, loss


def _boundary(scene: _Scene, number: int, depth_mm: float) -> _Map:
    """Return the depth in mm of a wavy layer boundary in each column; it moves with the probe."""
    rng = scene.rng(1, number)
    x = (np.arange(scene.width) + 0.5) * scene.spacing_mm + scene.shift_mm
    waves = rng.uniform(0, 2 * np.pi, 4)
    lengths = rng.uniform(14, 45, 4)
    heights = rng.uniform(0.15, 0.4, 4) * min(depth_mm, 14) / 11
    wave: _Map = heights @ np.sin(2 * np.pi * x / lengths[:, None] + waves[:, None])
    return depth_mm + wave


def _noise(scene: _Scene, use: int, length_mm: float, height_mm: float) -> _Map:
    """Return smooth noise of unit variance with grains of ``length_mm`` by ``height_mm``."""
    sigma = np.array([height_mm, length_mm]) / scene.spacing_mm / 3
    parts = [
        ndimage.gaussian_filter(
            scene.rng(use, k).standard_normal((scene.height, scene.width)), sigma
        )
        for k in (0, 1)
    ]
    turned = parts[0] * np.cos(scene.sweep_rad) + parts[1] * np.sin(scene.sweep_rad)
    return np.asarray(turned / (turned.std() or 1.0))


def _septa(scene: _Scene, use: int, length_mm: float, height_mm: float) -> _Map:
    """Return thin bright curves, as of connective tissue between fat lobules."""
    noise = _noise(scene, use, length_mm, height_mm)
    return 15 * np.exp(-((noise / 0.09) ** 2)) + 1.5 * _noise(scene, use + 100, 2.0, 2.0)


def _draw_lesion(scene: _Scene, lesion: _Lesion, echo_db: _Map, loss_db: _Map) -> NDArray[np.bool_]:
    """Draw the lesion into both maps; return its mask."""
    inside_mm = _inside(scene, lesion)
    mask = inside_mm > 0
    texture = lesion.texture_db * _noise(scene, 21, 1.6, 1.6)
    echo_db[mask] = lesion.echo_db + texture[mask]
    rim = np.exp(-((inside_mm / 0.25) ** 2)) * (inside_mm <= 0.1)
    echo_db += lesion.rim_db * rim
    if lesion.spikes:
        # Invasive lesions have an echogenic halo.
        outside_mm = np.clip(-inside_mm, 0, None)
        echo_db += 5.0 * np.exp(-((outside_mm / 1.2) ** 2)) * (inside_mm <= 0)
    passed_mm = np.cumsum(mask, axis=0) * scene.spacing_mm
    share = np.clip(passed_mm / (lesion.radius_mm * 1.4), 0, 1)
    blurred = ndimage.gaussian_filter(share, [0.2 / scene.spacing_mm, 0.7 / scene.spacing_mm])
    loss_db += lesion.through_db * blurred
    return mask


def _inside(scene: _Scene, lesion: _Lesion) -> _Map:
    """Return the approximate distance of each pixel from the margin in mm, negative outside."""
    depth, across = scene.grid
    y, x = depth - lesion.y_mm, across + scene.shift_mm - lesion.x_mm
    cosine, sine = np.cos(lesion.tilt_rad), np.sin(lesion.tilt_rad)
    along, down = x * cosine + y * sine, (y * cosine - x * sine) / lesion.flatness
    radius, angle = np.hypot(along, down), np.arctan2(down, along)
    inside: _Map = lesion.radius_mm * _profile(scene, lesion, angle) - radius
    return inside


def _profile(scene: _Scene, lesion: _Lesion, angle: _Map) -> _Map:
    """Return the relative radius in each direction, with lobulations and spicules."""
    rng = scene.rng(22)
    profile = np.ones(angle.shape)
    for order in range(2, 7):
        profile += (
            lesion.ripple
            / order**0.5
            * rng.normal()
            * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        )
    for direction in np.linspace(0, 2 * np.pi, lesion.spikes, endpoint=False):
        away = np.angle(np.exp(1j * (angle - direction - rng.uniform(-0.25, 0.25))))
        profile += rng.uniform(0.2, 0.6) * np.exp(-np.abs(away) / rng.uniform(0.03, 0.09))
    return np.clip(profile, 0.3, 2.2)


def _speckle(scene: _Scene, echo_db: _Map) -> _Map:
    """Return the envelope of blurred scatterers; the lateral blur widens away from the focus."""
    strength = 10 ** (echo_db / 20)
    parts = [scene.rng(31, k).standard_normal((2, scene.height, scene.width)) for k in range(2)]
    real, imaginary = parts[0] * np.cos(scene.sweep_rad) + parts[1] * np.sin(scene.sweep_rad)
    scatterers: NDArray[np.complex128] = (real + 1j * imaginary) * strength
    depth = scene.grid[0][:, :1]
    focus = 0.45 * scene.height * scene.spacing_mm
    lateral_mm = 0.13 + 0.009 * np.abs(depth - focus)
    widths = np.linspace(lateral_mm.min(), lateral_mm.max(), 4)
    envelope = np.zeros(echo_db.shape, np.complex128)
    for width in widths:
        share = np.clip(1 - np.abs(lateral_mm - width) / (widths[1] - widths[0]), 0, 1)
        envelope += share * _blur(scatterers, 0.075 / scene.spacing_mm, width / scene.spacing_mm)
    return np.abs(envelope)


def _blur(
    field: NDArray[np.complex128], axial_px: float, lateral_px: float
) -> NDArray[np.complex128]:
    """Blur with constant energy, so that speckle brightness does not depend on the focus."""
    sigma = (max(axial_px, 0.5), max(lateral_px, 0.5))
    energy = 2 * np.sqrt(np.pi * sigma[0] * sigma[1])
    blurred = [
        ndimage.gaussian_filter(part, sigma, truncate=3) for part in (field.real, field.imag)
    ]
    return np.asarray((blurred[0] + 1j * blurred[1]) * energy)
