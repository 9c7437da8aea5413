"""Predict labeled images with a preset and compare each prediction with the ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.data.dataset import Sample
from models.evaluation.metrics import HeatmapLocalization, Overlap
from models.predictor import Predictor

Mask = NDArray[np.bool_]
AnnotatedFrame = tuple[NDArray[np.uint8], Mask]
"""Pixels ``(h, w)`` and the lesion mask ``(h, w)``."""

_BATCH_SIZE = 16


@dataclass(frozen=True)
class EvaluatedImage:
    """A preset's prediction for one image, compared with the ground truth.

    ``hd95_px`` is the result of `hd95`. ``localization`` is None if the image has no lesion.
    """

    sample: Sample
    probabilities: tuple[float, float, float]
    overlap: Overlap
    area_px: int
    diagonal_px: float
    hd95_px: float
    localization: HeatmapLocalization | None

    @property
    def label(self) -> int:
        """The true class as an index into `CLASSES`."""
        return self.sample.label

    @property
    def predicted(self) -> int:
        """The most probable class as an index into `CLASSES`."""
        return int(np.argmax(self.probabilities))

    @property
    def pixel_accuracy(self) -> float:
        """Share of the pixels that the mask classifies correctly."""
        overlap = self.overlap
        wrong = overlap.true_px + overlap.predicted_px - 2 * overlap.intersection_px
        return 1 - wrong / self.area_px


def evaluate_images(predictor: Predictor, samples: Sequence[Sample]) -> list[EvaluatedImage]:
    """Predict each sample once; at most 16 images are in memory at a time."""
    results = list[EvaluatedImage]()
    for start in range(0, len(samples), _BATCH_SIZE):
        batch = samples[start : start + _BATCH_SIZE]
        results += evaluate_frames(predictor, batch, [sample.read() for sample in batch])
    return results


def evaluate_frames(
    predictor: Predictor, samples: Sequence[Sample], frames: Sequence[AnnotatedFrame]
) -> list[EvaluatedImage]:
    """Predict ``frames`` instead of the samples' own images, from which they were derived."""
    predictions = predictor.predict([pixels for pixels, _ in frames])
    return [
        EvaluatedImage(
            sample,
            prediction.probabilities,
            Overlap.from_masks(lesion, prediction.mask),
            lesion.size,
            float(np.hypot(*lesion.shape)),
            hd95(lesion, prediction.mask),
            HeatmapLocalization.from_heatmap(prediction.heatmap, lesion),
        )
        for sample, (_, lesion), prediction in zip(samples, frames, predictions, strict=True)
    ]


def hd95(truth: Mask, predicted: Mask) -> float:
    """95th percentile of the Hausdorff distance of two outlines in pixels (Huttenlocher 1993).

    NaN if a mask is empty.
    """
    if not truth.any() or not predicted.any():
        return float("nan")
    first, second = _edge(truth), _edge(predicted)
    forward = ndimage.distance_transform_edt(~second)[first]
    backward = ndimage.distance_transform_edt(~first)[second]
    return float(max(np.percentile(forward, 95), np.percentile(backward, 95)))


def _edge(mask: Mask) -> Mask:
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge
