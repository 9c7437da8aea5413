"""Evaluate a predictor on labeled images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Sample
from models.evaluation.metrics import (
    ClassificationReport,
    HeatmapLocalization,
    LocalizationReport,
    Overlap,
    SegmentationReport,
    nan_to_none,
    score_classes,
    score_heatmaps,
    score_masks,
)
from models.predictor import Predictor
from models.types import FramePrediction

Predict = Callable[[Sequence[NDArray[np.uint8]]], Sequence[FramePrediction]]
"""The signature of `models.predictor.Predictor.predict`."""

Case = tuple[NDArray[np.uint8], int, NDArray[np.bool_] | None]
"""A frame, its class as an index into `CLASSES`, and its lesion mask ``(h, w)``.

The mask is None if the lesion is not annotated.
"""

_BATCH = 32


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics of classes, masks and heat maps on one set of images."""

    classification: ClassificationReport
    segmentation: SegmentationReport
    explanation: LocalizationReport

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; undefined metrics are None."""
        values: dict[str, Any] = nan_to_none(asdict(self))
        return values


@dataclass(frozen=True)
class CaseResult:
    """The prediction for one case, compared with its ground truth.

    ``overlap`` is None if the lesion is not annotated, ``localization`` also if there is none.
    """

    label: int
    probabilities: tuple[float, float, float]
    overlap: Overlap | None
    localization: HeatmapLocalization | None = None


def evaluate(predict: Predictor | Predict, cases: Iterable[Case]) -> EvaluationReport:
    """Predict every case and compute all metrics. ``cases`` must not be empty."""
    return score_cases(predict_cases(predict, cases))


def predict_cases(predict: Predictor | Predict, cases: Iterable[Case]) -> list[CaseResult]:
    """Predict every case; at most 32 frames are in memory at a time."""
    call = predict.predict if isinstance(predict, Predictor) else predict
    remaining, results = iter(cases), list[CaseResult]()
    while batch := list(islice(remaining, _BATCH)):
        predictions = call([frame for frame, _, _ in batch])
        for (_, label, lesion), prediction in zip(batch, predictions, strict=True):
            overlap = localization = None
            if lesion is not None:
                overlap = Overlap.from_masks(lesion, prediction.mask)
                localization = HeatmapLocalization.from_heatmap(prediction.heatmap, lesion)
            results.append(CaseResult(label, prediction.probabilities, overlap, localization))
    return results


def score_cases(results: Sequence[CaseResult]) -> EvaluationReport:
    """Compute all metrics of one or more results."""
    labels = np.array([result.label for result in results])
    probabilities = np.array([result.probabilities for result in results])
    overlaps = [x.overlap for x in results if x.overlap is not None]
    localizations = [x.localization for x in results if x.localization is not None]
    return EvaluationReport(
        score_classes(labels, probabilities), score_masks(overlaps), score_heatmaps(localizations)
    )


def read_cases(samples: Iterable[Sample]) -> Iterator[Case]:
    """Read samples one at a time, as `evaluate` takes them."""
    for sample in samples:
        pixels, lesion = sample.read()
        yield pixels, sample.label, lesion if sample.annotated else None
