"""B-mode breast-ultrasound phantoms: made-up pictures that show the plumbing, not the diagnosis.

A field of random scatterers, its strength set by a map of tissues, is blurred by a point-spread
function that widens away from the focus (linear convolution model, Bamber 1980), weighted by
attenuation along each scan line, detected and log-compressed. The same seed gives the same pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

KINDS: tuple[str, ...] = ("normal", "cyst", "fibroadenoma", "spiculated")
DYNAMIC_RANGE_DB = 58.0

_Map = NDArray[np.float64]
_Place = tuple[float, float, float]  # x_mm, y_mm, radius_mm


@dataclass(frozen=True)
class Phantom:
    """One B-mode image ``(h, w)`` with its lesion ``mask``; square pixels of ``spacing_mm``."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    kind: str
    spacing_mm: float


@dataclass(frozen=True)
class _Lesion:
    """Where a lesion lies and what it is made of; decibels are relative to glandular tissue."""

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
    """A slice through a breast: what `_render` needs, the lesion already at its size here."""

    height: int
    width: int
    spacing_mm: float
    seed: int
    lesion: _Lesion | None
    shift_mm: float = 0.0
    sweep_rad: float = 0.0

    @cached_property
    def grid(self) -> tuple[_Map, _Map]:
        """Depth and lateral position of each pixel's center, in mm."""
        rows, columns = np.mgrid[: self.height, : self.width].astype(np.float64) + 0.5
        return rows * self.spacing_mm, columns * self.spacing_mm

    def rng(self, *use: int) -> np.random.Generator:
        """A stream of its own for each use, so that one part's draws never move another's."""
        return np.random.default_rng([self.seed, *use])


def make_phantom(
    kind: str, *, seed: int, height: int = 480, width: int = 640, spacing_mm: float = 0.08
) -> Phantom:
    """Make one still of a kind out of `KINDS`. Raises ValueError for any other kind."""
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
    """Sweep the probe across a lesion: its cross-section comes, grows, moves and goes.

    In a sweep of five frames or more the first and the last show none.
    """
    lesion = _choose_lesion(kind, seed, height * spacing_mm, width * spacing_mm)
    steps = np.linspace(-1.25, 1.25, frames) if frames > 1 else np.zeros(1)
    return [
        _render(
            _Scene(height, width, spacing_mm, seed, _slice(lesion, step), 2.5 * step, 0.5 * step),
            kind,
        )
        for step in steps.tolist()
    ]


def _slice(lesion: _Lesion | None, step: float) -> _Lesion | None:
    """Cut a ball-like lesion at ``step`` radii from its center."""
    if lesion is None or abs(step) >= 1:
        return None
    radius = lesion.radius_mm * float(np.sqrt(1 - step**2))
    return replace(lesion, radius_mm=radius)


def _choose_lesion(kind: str, seed: int, depth_mm: float, width_mm: float) -> _Lesion | None:
    if kind not in KINDS:
        raise ValueError(f"unknown phantom kind {kind!r}: choose one of {', '.join(KINDS)}")
    if kind == "normal":
        return None
    rng = np.random.default_rng([seed, 0])
    x_mm, y_mm = width_mm * rng.uniform(0.36, 0.64), depth_mm * rng.uniform(0.40, 0.50)
    place = (x_mm, y_mm, min(depth_mm, width_mm) * rng.uniform(0.12, 0.17))
    return _MAKERS[kind](rng, place)


def _cyst(rng: np.random.Generator, place: _Place) -> _Lesion:
    """Anechoic, thin bright wall, enhancement behind."""
    return _Lesion(
        *place, flatness=rng.uniform(0.75, 0.95), tilt_rad=rng.uniform(-0.2, 0.2), ripple=0.03,
        echo_db=-46, rim_db=5, through_db=9,
    )  # fmt: skip


def _fibroadenoma(rng: np.random.Generator, place: _Place) -> _Lesion:
    """Oval, wider than tall, circumscribed, evenly hypoechoic."""
    return _Lesion(
        *place, flatness=rng.uniform(0.5, 0.65), tilt_rad=rng.uniform(-0.15, 0.15), ripple=0.05,
        echo_db=-17, rim_db=2, through_db=2,
    )  # fmt: skip


def _spiculated(rng: np.random.Generator, place: _Place) -> _Lesion:
    """Irregular, taller than wide, spikes into the tissue around, shadow behind."""
    return _Lesion(
        *place, flatness=rng.uniform(1.05, 1.25), tilt_rad=rng.uniform(-0.3, 0.3), ripple=0.12,
        echo_db=-19, rim_db=0, through_db=-19, spikes=int(rng.integers(10, 16)), texture_db=3.0,
    )  # fmt: skip


_MAKERS: dict[str, Callable[[np.random.Generator, _Place], _Lesion]] = {
    "cyst": _cyst,
    "fibroadenoma": _fibroadenoma,
    "spiculated": _spiculated,
}


def _render(scene: _Scene, kind: str) -> Phantom:
    echo_db, loss_db = _tissue(scene)
    mask = np.zeros(echo_db.shape, np.bool_)
    if scene.lesion is not None:
        mask = _draw_lesion(scene, scene.lesion, echo_db, loss_db)
    envelope = _speckle(scene, echo_db) * 10 ** (loss_db / 20)
    return Phantom(_compress(envelope, scene), mask, kind, scene.spacing_mm)


def _tissue(scene: _Scene) -> tuple[_Map, _Map]:
    """Skin, fat with septa, glandular tissue, deep fat, fascia and muscle, from the top down.

    Returns echo strength and what is gained or lost on the way there, both in dB.
    """
    depth, _ = scene.grid
    total = scene.height * scene.spacing_mm
    bounds = [
        _boundary(scene, k, share * total) for k, share in enumerate((0.05, 0.25, 0.70, 0.78))
    ]
    skin, fat, gland, deep = bounds
    echo = np.select(
        [depth < skin, depth < fat, depth < gland, depth < deep],
        [
            np.full(depth.shape, 3.0),
            -18 + _septa(scene, 11, 9.0, 3.2),
            _gland(scene),
            -17 + _septa(scene, 13, 8.0, 3.0),
        ],
        -13 + _fibres(scene),
    )
    for bound, db, thickness in ((skin, 5, 0.22), (deep, 9, 0.3)):
        np.maximum(echo, db - ((depth - bound) / thickness) ** 2 * 8, out=echo)
    np.maximum(echo, 8 - ((depth - 0.4) / 0.3) ** 2 * 8, out=echo)
    streaks = ndimage.gaussian_filter1d(scene.rng(14).standard_normal(scene.width), 14)
    loss = streaks * 4.0 - 12.0 * (depth / total) ** 2
    return echo, loss


def _boundary(scene: _Scene, number: int, depth_mm: float) -> _Map:
    """A wavy line across the image, calmer near the skin; moves with the probe."""
    rng = scene.rng(1, number)
    x = (np.arange(scene.width) + 0.5) * scene.spacing_mm + scene.shift_mm
    waves = rng.uniform(0, 2 * np.pi, 4)
    lengths = rng.uniform(14, 45, 4)
    heights = rng.uniform(0.15, 0.4, 4) * min(depth_mm, 14) / 11
    wave: _Map = heights @ np.sin(2 * np.pi * x / lengths[:, None] + waves[:, None])
    return depth_mm + wave


def _noise(scene: _Scene, use: int, length_mm: float, height_mm: float) -> _Map:
    """Smooth noise of unit variance whose grains measure ``length_mm`` by ``height_mm``."""
    sigma = np.array([height_mm, length_mm]) / scene.spacing_mm / 3
    parts = [
        ndimage.gaussian_filter(
            scene.rng(use, k).standard_normal((scene.height, scene.width)), sigma
        )
        for k in (0, 1)
    ]
    turned = parts[0] * np.cos(scene.sweep_rad) + parts[1] * np.sin(scene.sweep_rad)
    return np.asarray(turned / (turned.std() or 1.0))


def _gland(scene: _Scene) -> _Map:
    """Bright fibrous tissue, streaked, with darker islands of fat and ducts."""
    islands = np.clip(_noise(scene, 16, 4.5, 2.2) - 0.9, 0, 1)
    return 1.8 * _noise(scene, 12, 5.0, 0.9) + 1.5 * _noise(scene, 17, 3.0, 2.5) - 9 * islands


def _septa(scene: _Scene, use: int, length_mm: float, height_mm: float) -> _Map:
    """Thin bright curves where smooth noise changes sign: connective tissue between fat lobules."""
    noise = _noise(scene, use, length_mm, height_mm)
    return 15 * np.exp(-((noise / 0.09) ** 2)) + 1.5 * _noise(scene, use + 100, 2.0, 2.0)


def _fibres(scene: _Scene) -> _Map:
    """Stripes along the chest wall."""
    return 3.5 * _noise(scene, 15, 14.0, 0.7)


def _draw_lesion(scene: _Scene, lesion: _Lesion, echo_db: _Map, loss_db: _Map) -> NDArray[np.bool_]:
    """Change both maps in place; return the lesion's pixels."""
    inside_mm = _inside(scene, lesion)
    mask = inside_mm > 0
    texture = lesion.texture_db * _noise(scene, 21, 1.6, 1.6)
    echo_db[mask] = lesion.echo_db + texture[mask]
    rim = np.exp(-((inside_mm / 0.25) ** 2)) * (inside_mm <= 0.1)
    echo_db += lesion.rim_db * rim
    if lesion.spikes:
        _add_halo(inside_mm, echo_db)
    passed_mm = np.cumsum(mask, axis=0) * scene.spacing_mm
    share = np.clip(passed_mm / (lesion.radius_mm * 1.4), 0, 1)
    blurred = ndimage.gaussian_filter(share, [0.2 / scene.spacing_mm, 0.7 / scene.spacing_mm])
    loss_db += lesion.through_db * blurred
    return mask


def _add_halo(inside_mm: _Map, echo_db: _Map) -> None:
    """The echogenic seam of tissue that an invasive lesion pulls together around itself."""
    outside = np.clip(-inside_mm, 0, None)
    echo_db += 5.0 * np.exp(-((outside / 1.2) ** 2)) * (inside_mm <= 0)


def _inside(scene: _Scene, lesion: _Lesion) -> _Map:
    """Roughly how far inside the lesion each pixel lies, in mm; negative outside."""
    depth, across = scene.grid
    y, x = depth - lesion.y_mm, across + scene.shift_mm - lesion.x_mm
    cosine, sine = np.cos(lesion.tilt_rad), np.sin(lesion.tilt_rad)
    along, down = x * cosine + y * sine, (y * cosine - x * sine) / lesion.flatness
    radius, angle = np.hypot(along, down), np.arctan2(down, along)
    inside: _Map = lesion.radius_mm * _profile(scene, lesion, angle) - radius
    return inside


def _profile(scene: _Scene, lesion: _Lesion, angle: _Map) -> _Map:
    """Relative radius by direction: gentle lobes, and spikes where the lesion has them."""
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
    """Envelope of blurred scatterers: axial blur constant, lateral blur wider off the focus."""
    strength = 10 ** (echo_db / 20)
    scatterers = _scatterers(scene) * strength
    depth = scene.grid[0][:, :1]
    focus = 0.45 * scene.height * scene.spacing_mm
    lateral_mm = 0.13 + 0.009 * np.abs(depth - focus)
    widths = np.linspace(lateral_mm.min(), lateral_mm.max(), 4)
    envelope = np.zeros(echo_db.shape, np.complex128)
    for width in widths:
        share = np.clip(1 - np.abs(lateral_mm - width) / (widths[1] - widths[0]), 0, 1)
        envelope += share * _blur(scatterers, 0.075 / scene.spacing_mm, width / scene.spacing_mm)
    return np.abs(envelope)


def _scatterers(scene: _Scene) -> NDArray[np.complex128]:
    parts = [scene.rng(31, k).standard_normal((2, scene.height, scene.width)) for k in range(2)]
    real, imaginary = parts[0] * np.cos(scene.sweep_rad) + parts[1] * np.sin(scene.sweep_rad)
    return np.asarray(real + 1j * imaginary)


def _blur(
    field: NDArray[np.complex128], axial_px: float, lateral_px: float
) -> NDArray[np.complex128]:
    """Blur at unit energy, so that speckle is as bright off the focus as in it."""
    sigma = (max(axial_px, 0.5), max(lateral_px, 0.5))
    energy = 2 * np.sqrt(np.pi * sigma[0] * sigma[1])
    blurred = [
        ndimage.gaussian_filter(part, sigma, truncate=3) for part in (field.real, field.imag)
    ]
    return np.asarray((blurred[0] + 1j * blurred[1]) * energy)


def _compress(envelope: _Map, scene: _Scene) -> NDArray[np.uint8]:
    """Log-compress with a little receiver noise; glandular tissue comes out mid-gray."""
    noise = np.abs(scene.rng(41).standard_normal(envelope.shape)) * 10 ** (-44 / 20)
    level_db = 20 * np.log10(np.hypot(envelope, noise) + 1e-6)
    gray = (level_db + DYNAMIC_RANGE_DB - 23) / DYNAMIC_RANGE_DB
    return np.asarray(np.clip(gray, 0, 1) * 255, np.uint8)
