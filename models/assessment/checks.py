"""Does the answer hold when the picture changes a little, and does the heat map depend on weights?

Importing this module loads TensorFlow.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats

from models.assessment.figures import headline
from models.assessment.judged import Judged, judge_frames
from models.evaluation import Predict
from models.networks.inference import load_networks, trace
from models.predictor import Predictor
from models.preset import read_preset
from models.training.dataset import Sample

Pixels = NDArray[np.uint8]
Pair = tuple[Pixels, NDArray[np.bool_]]
Change = Callable[[Pair, np.random.Generator], Pair]
_BRIGHT = 200


def robustness(
    predictor: Predictor, samples: Sequence[Sample], *, chunk: int = 16, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Accuracy, macro ROC-AUC and Dice under each of `CHANGES`, and the share of changed answers."""
    plain = _under(predictor, samples, lambda pair, _: pair, chunk, seed)
    figures = {"as it is": _told(plain, plain)}
    for name, change in CHANGES.items():
        figures[name] = _told(_under(predictor, samples, change, chunk, seed), plain)
    return figures


def randomization(
    directory: Path, samples: Sequence[Sample], *, chunk: int = 16, seed: int = 0
) -> dict[str, float]:
    """Rank correlation of heat maps with those of spoilt weights (Adebayo 2018, sanity checks).

    The class head is replaced by random numbers, then the encoder's last block too. A map that
    stays the same would tell of the picture, not of what was learnt.
    """
    preset = read_preset(directory)
    networks, rng = load_networks(directory, preset), np.random.default_rng(seed)
    whole = Predictor.load(directory)
    figures: dict[str, float] = {}
    for name, layers in (("class head", ["class"]), ("and last block", ["block_16_project"])):
        for network in networks:
            for each in layers:
                _spoil(network if each == "class" else network.get_layer("encoder"), each, rng)
        spoilt = Predictor(
            preset,
            lambda batch: trace(
                networks, batch, mirrored=preset.mirrored, class_shift=preset.class_shift
            ),
        )
        figures[name] = likeness(whole.predict, spoilt.predict, samples, chunk=chunk)
    return figures


def _spoil(network: Any, layer: str, rng: np.random.Generator) -> None:
    found = network.get_layer(layer)
    found.set_weights(
        [rng.normal(0, float(np.std(x)) or 0.01, x.shape) for x in found.get_weights()]
    )


def likeness(
    first: Predict, second: Predict, samples: Sequence[Sample], *, chunk: int = 16
) -> float:
    """Mean rank correlation of the heat maps of two predictors.

    1: the same places stand out; NaN when no image has two maps in which anything does.
    """
    correlations = []
    for start in range(0, len(samples), chunk):
        frames = [sample.read()[0] for sample in samples[start : start + chunk]]
        for one, other in zip(first(frames), second(frames), strict=True):
            a, b = one.heatmap[::8, ::8].ravel(), other.heatmap[::8, ::8].ravel()
            if np.ptp(a) and np.ptp(b):
                correlations.append(float(stats.spearmanr(a, b).statistic))
    return float(np.mean(correlations)) if correlations else float("nan")


def _under(
    predictor: Predictor, samples: Sequence[Sample], change: Change, chunk: int, seed: int
) -> list[Judged]:
    rng, rows = np.random.default_rng(seed), []
    for start in range(0, len(samples), chunk):
        part = samples[start : start + chunk]
        rows += judge_frames(predictor, part, [change(sample.read(), rng) for sample in part])
    return rows


def _told(rows: Sequence[Judged], plain: Sequence[Judged]) -> dict[str, float]:
    figures = headline(rows)
    changed = [a.predicted != b.predicted for a, b in zip(rows, plain, strict=True)]
    kept = {name: figures[name] for name in ("accuracy", "macro_roc_auc", "dice")}
    return {**kept, "changed": float(np.mean(changed))}


def _gain(factor: float) -> Change:
    return lambda pair, _: (_clipped(pair[0] * factor), pair[1])


def _gamma(power: float) -> Change:
    return lambda pair, _: (_clipped(255 * (pair[0] / 255) ** power), pair[1])


def _speckle(strength: float) -> Change:
    return lambda pair, rng: (
        _clipped(pair[0] * (1 + strength * rng.standard_normal(pair[0].shape))),
        pair[1],
    )


def _blur(sigma_px: float) -> Change:
    return lambda pair, _: (ndimage.gaussian_filter(pair[0], sigma_px), pair[1])


def _scale(factor: float) -> Change:
    def change(pair: Pair, _: np.random.Generator) -> Pair:
        height, width = (max(32, round(side * factor)) for side in pair[0].shape)
        pixels = Image.fromarray(pair[0]).resize((width, height), Image.Resampling.BILINEAR)
        lesion = Image.fromarray(pair[1]).resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(pixels), np.asarray(lesion, np.bool_)

    return change


def _jpeg(quality: int) -> Change:
    def change(pair: Pair, _: np.random.Generator) -> Pair:
        buffer = io.BytesIO()
        Image.fromarray(pair[0]).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer)), pair[1]

    return change


def calipers_painted(pair: Pair, rng: np.random.Generator) -> Pair:
    """Two crosses joined by dots: across the lesion where there is one, anywhere else where not."""
    pixels, lesion = pair[0].copy(), pair[1]
    rows, columns = np.nonzero(lesion) if lesion.any() else _anywhere(pixels.shape, rng)
    ends = [(rows[k], columns[k]) for k in (int(columns.argmin()), int(columns.argmax()))]
    for row, column in np.linspace(ends[0], ends[1], 24).astype(int):
        pixels[row, column] = 220
    for row, column in ends:
        pixels[max(0, row - 4) : row + 5, column] = 240
        pixels[row, max(0, column - 4) : column + 5] = 240
    return pixels, lesion


def calipers_removed(pair: Pair, _: np.random.Generator) -> Pair:
    """Fill thin bright marks, brighter than all that is near, with the median around them."""
    pixels = pair[0]
    smooth = ndimage.median_filter(pixels, 11)
    thin = ndimage.white_tophat(pixels, size=(7, 7)) > 90
    marks = ndimage.binary_dilation(thin & (pixels > _BRIGHT), iterations=1)
    return np.where(marks, smooth, pixels), pair[1]


def _anywhere(
    shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    height, width = shape
    return rng.integers(height // 4, 3 * height // 4, 2), np.array([width // 3, 2 * width // 3])


def _clipped(values: NDArray[np.floating[Any]]) -> Pixels:
    pixels: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return pixels


CHANGES: Mapping[str, Change] = {
    "gain -30 %": _gain(0.7),
    "gain +30 %": _gain(1.3),
    "gamma 0.7": _gamma(0.7),
    "gamma 1.4": _gamma(1.4),
    "speckle 10 %": _speckle(0.1),
    "speckle 25 %": _speckle(0.25),
    "blur 1 px": _blur(1.0),
    "blur 2 px": _blur(2.0),
    "scale 0.5": _scale(0.5),
    "scale 1.5": _scale(1.5),
    "JPEG quality 50": _jpeg(50),
    "JPEG quality 15": _jpeg(15),
    "calipers painted on": calipers_painted,
    "thin bright marks painted over": calipers_removed,
}
"""What a machine, an operator or an archive does to a picture without changing the diagnosis."""
