"""One pass of a preset over labeled images; what later figures need of each image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.evaluation import Heat, Overlap
from models.predictor import Predictor
from models.training.calibration import Judged as Answered
from models.training.dataset import Sample
from models.types import FramePrediction

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """One image's truth and answer.

    ``hd95_px``: 95th percentile of the distances between the two outlines, in pixels, both ways;
    NaN unless both masks hold something. ``heat``: of its Grad-CAM; None without a lesion.
    """

    sample: Sample
    probabilities: tuple[float, float, float]
    overlap: Overlap
    pixels: int
    diagonal_px: float
    hd95_px: float
    heat: Heat | None

    @property
    def label(self) -> int:
        """The true class, an index into `CLASSES`."""
        return self.sample.label

    @property
    def predicted(self) -> int:
        """The most probable class, likewise."""
        return int(np.argmax(self.probabilities))

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels on the right side of the outline."""
        overlap = self.overlap
        wrong = overlap.true_px + overlap.predicted_px - 2 * overlap.both_px
        return 1 - wrong / self.pixels


def judge(predictor: Predictor, samples: Sequence[Sample], *, chunk: int = 16) -> list[Judged]:
    """Predict each sample once; ``chunk`` images are held at a time."""
    return [each for _, _, each in _judged(predictor, samples, chunk)]


def judge_frames(
    predictor: Predictor,
    samples: Sequence[Sample],
    frames: Iterable[tuple[NDArray[np.uint8], Mask]],
) -> list[Judged]:
    """Judge changed ``frames`` with their masks in place of what is on disk."""
    pairs = list(frames)
    predictions = predictor.predict([pixels for pixels, _ in pairs])
    return [
        _one(sample, lesion, prediction)
        for sample, (_, lesion), prediction in zip(samples, pairs, predictions, strict=True)
    ]


def _judged(
    predictor: Predictor, samples: Sequence[Sample], chunk: int
) -> Iterator[tuple[Sample, FramePrediction, Judged]]:
    for start in range(0, len(samples), chunk):
        part = samples[start : start + chunk]
        pairs = [sample.read() for sample in part]
        predictions = predictor.predict([pixels for pixels, _ in pairs])
        for sample, (_, lesion), prediction in zip(part, pairs, predictions, strict=True):
            yield sample, prediction, _one(sample, lesion, prediction)


def _one(sample: Sample, lesion: Mask, prediction: FramePrediction) -> Judged:
    return Judged(
        sample,
        prediction.probabilities,
        Overlap.of(lesion, prediction.mask),
        lesion.size,
        float(np.hypot(*lesion.shape)),
        hd95(lesion, prediction.mask),
        Heat.of(prediction.heatmap, lesion),
    )


def hd95(truth: Mask, predicted: Mask) -> float:
    """95th percentile of the distances between two outlines, both ways, in pixels.

    After Huttenlocher 1993, made robust as is usual in segmentation. NaN where a mask is empty.
    """
    if not truth.any() or not predicted.any():
        return float("nan")
    first, second = _edge(truth), _edge(predicted)
    there = ndimage.distance_transform_edt(~second)[first]
    back = ndimage.distance_transform_edt(~first)[second]
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _edge(mask: Mask) -> Mask:
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge


def labels_of(rows: Sequence[Answered]) -> NDArray[np.int64]:
    """True classes ``(n,)``."""
    return np.array([row.label for row in rows])


def probabilities_of(rows: Sequence[Answered]) -> NDArray[np.float64]:
    """Probabilities ``(n, classes)``."""
    return np.array([row.probabilities for row in rows])
