"""Robustness to image changes, and the randomization test of heat maps.

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

from models.data.dataset import Sample
from models.evaluation.detailed_metrics import headline_metrics
from models.evaluation.evaluate import Predict
from models.evaluation.evaluated_images import AnnotatedFrame, EvaluatedImage, evaluate_frames
from models.networks.inference import load_networks, trace
from models.predictor import Predictor
from models.preset import read_preset

Perturbation = Callable[[AnnotatedFrame, np.random.Generator], AnnotatedFrame]
_MARK_GRAY_LEVEL = 200
_BATCH_SIZE = 16
_SEED = 0


def robustness(predictor: Predictor, samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return accuracy, macro ROC-AUC and Dice under each of `PERTURBATIONS`.

    ``predictions_changed`` is the share of images whose predicted class differs from that of the
    unchanged image.
    """

    def evaluate_perturbed(perturb: Perturbation) -> list[EvaluatedImage]:
        rng, results = np.random.default_rng(_SEED), list[EvaluatedImage]()
        for start in range(0, len(samples), _BATCH_SIZE):
            batch = samples[start : start + _BATCH_SIZE]
            frames = [perturb(sample.read(), rng) for sample in batch]
            results += evaluate_frames(predictor, batch, frames)
        return results

    unchanged = evaluate_perturbed(lambda frame, _: frame)
    by_perturbation = {"unchanged": _robustness_metrics(unchanged, unchanged)}
    for name, perturb in PERTURBATIONS.items():
        by_perturbation[name] = _robustness_metrics(evaluate_perturbed(perturb), unchanged)
    return by_perturbation


def randomization_test(directory: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """Return rank correlations of heat maps before and after weights are randomized.

    The class head is randomized first, then also the encoder's last block (Adebayo 2018, model
    parameter randomization test). A heat map that does not change does not depend on the weights.
    """
    preset, rng = read_preset(directory), np.random.default_rng(_SEED)
    networks = load_networks(directory, preset)
    trained = Predictor.load(directory)
    steps: dict[str, Callable[[Any], Any]] = {
        "class head": lambda network: network.get_layer("class"),
        "and last block": lambda network: network.get_layer("encoder").get_layer(
            "block_16_project"
        ),
    }
    correlations: dict[str, float] = {}
    for name, layer_of in steps.items():
        for network in networks:
            layer = layer_of(network)
            layer.set_weights(
                [rng.normal(0, float(np.std(x)) or 0.01, x.shape) for x in layer.get_weights()]
            )
        randomized = Predictor(
            preset,
            # A trace freezes the weights, so each step needs another one.
            lambda batch: trace(
                networks, batch, mirrored=preset.mirrored, class_shift=preset.class_shift
            ),
        )
        correlations[name] = heatmap_correlation(trained.predict, randomized.predict, samples)
    return correlations


def heatmap_correlation(first: Predict, second: Predict, samples: Sequence[Sample]) -> float:
    """Return the mean Spearman correlation of two predictors' heat maps.

    Images on which a heat map is constant are left out; NaN if none remains.
    """
    correlations = []
    for start in range(0, len(samples), _BATCH_SIZE):
        frames = [sample.read()[0] for sample in samples[start : start + _BATCH_SIZE]]
        for one, other in zip(first(frames), second(frames), strict=True):
            a, b = one.heatmap[::8, ::8].ravel(), other.heatmap[::8, ::8].ravel()
            if np.ptp(a) and np.ptp(b):
                correlations.append(float(stats.spearmanr(a, b).statistic))
    return float(np.mean(correlations)) if correlations else float("nan")


def _robustness_metrics(
    results: Sequence[EvaluatedImage], unchanged: Sequence[EvaluatedImage]
) -> dict[str, float]:
    metrics = headline_metrics(results)
    changed = [a.predicted != b.predicted for a, b in zip(results, unchanged, strict=True)]
    return {
        **{name: metrics[name] for name in ("accuracy", "macro_roc_auc", "dice")},
        "predictions_changed": float(np.mean(changed)),
    }


def _gain(factor: float) -> Perturbation:
    return lambda frame, _: (_to_uint8(frame[0] * factor), frame[1])


def _gamma(power: float) -> Perturbation:
    return lambda frame, _: (_to_uint8(255 * (frame[0] / 255) ** power), frame[1])


def _speckle(strength: float) -> Perturbation:
    return lambda frame, rng: (
        _to_uint8(frame[0] * (1 + strength * rng.standard_normal(frame[0].shape))),
        frame[1],
    )


def _blur(sigma_px: float) -> Perturbation:
    return lambda frame, _: (ndimage.gaussian_filter(frame[0], sigma_px), frame[1])


def _scale(factor: float) -> Perturbation:
    def perturb(frame: AnnotatedFrame, _: np.random.Generator) -> AnnotatedFrame:
        height, width = (max(32, round(side * factor)) for side in frame[0].shape)
        pixels = Image.fromarray(frame[0]).resize((width, height), Image.Resampling.BILINEAR)
        lesion = Image.fromarray(frame[1]).resize((width, height), Image.Resampling.NEAREST)
        return np.asarray(pixels), np.asarray(lesion, np.bool_)

    return perturb


def _jpeg(quality: int) -> Perturbation:
    def perturb(frame: AnnotatedFrame, _: np.random.Generator) -> AnnotatedFrame:
        buffer = io.BytesIO()
        Image.fromarray(frame[0]).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer)), frame[1]

    return perturb


def paint_calipers(frame: AnnotatedFrame, rng: np.random.Generator) -> AnnotatedFrame:
    """Paint two crosses joined by a dotted line, across the lesion or at random without one."""
    pixels, lesion = frame[0].copy(), frame[1]
    if lesion.any():
        rows, columns = np.nonzero(lesion)
    else:
        height, width = pixels.shape
        rows = rng.integers(height // 4, 3 * height // 4, 2)
        columns = np.array([width // 3, 2 * width // 3])
    ends = [(rows[k], columns[k]) for k in (int(columns.argmin()), int(columns.argmax()))]
    for row, column in np.linspace(ends[0], ends[1], 24).astype(int):
        pixels[row, column] = 220
    for row, column in ends:
        pixels[max(0, row - 4) : row + 5, column] = 240
        pixels[row, max(0, column - 4) : column + 5] = 240
    return pixels, lesion


def remove_calipers(frame: AnnotatedFrame, _: np.random.Generator) -> AnnotatedFrame:
    """Replace thin bright marks by the median of their neighborhood."""
    pixels, lesion = frame
    smooth = ndimage.median_filter(pixels, 11)
    thin = ndimage.white_tophat(pixels, size=(7, 7)) > 90
    marks = ndimage.binary_dilation(thin & (pixels > _MARK_GRAY_LEVEL), iterations=1)
    return np.where(marks, smooth, pixels), lesion


def _to_uint8(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return pixels


PERTURBATIONS: Mapping[str, Perturbation] = {
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
    "calipers painted": paint_calipers,
    "thin bright marks removed": remove_calipers,
}
"""Changes by scanner settings, operators or archives that leave the diagnosis unchanged."""
