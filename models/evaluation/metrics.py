"""Metrics of classification, segmentation and heat maps, computed with NumPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import CLASSES

SPECIFICITY = 0.90
"""The specificity at which `ClassMetrics.recall_at_specificity` is measured."""


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of a true mask, a predicted mask and their intersection."""

    true_px: int
    predicted_px: int
    intersection_px: int

    @classmethod
    def from_masks(cls, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> "Overlap":
        """Count the pixels of two masks of the same shape."""
        return cls(int(truth.sum()), int(predicted.sum()), int((truth & predicted).sum()))

    @property
    def dice(self) -> float:
        """Dice coefficient; 1 if both masks are empty."""
        total = self.true_px + self.predicted_px
        return 2 * self.intersection_px / total if total else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 if both masks are empty."""
        union = self.true_px + self.predicted_px - self.intersection_px
        return self.intersection_px / union if union else 1.0


@dataclass(frozen=True)
class HeatmapLocalization:
    """How well a heat map localizes a lesion.

    ``energy_inside`` is the share of the map's sum inside the lesion. ``peak_inside`` is true if
    its maximum lies there (pointing game, Zhang 2018, arXiv:1608.00507). ``lesion_area`` is the
    lesion's share of the image, the expected value of both for an uninformative map. For a map of
    zeros they are 0 and False.
    """

    energy_inside: float
    peak_inside: bool
    lesion_area: float

    @classmethod
    def from_heatmap(
        cls, heatmap: NDArray[np.float32], lesion: NDArray[np.bool_]
    ) -> "HeatmapLocalization | None":
        """Compare a non-negative map with a mask, both ``(h, w)``; None if the mask is empty."""
        if not lesion.any():
            return None
        total = float(heatmap.sum(dtype=np.float64))
        inside = float(heatmap[lesion].sum(dtype=np.float64)) / total if total else 0.0
        peak_inside = bool(lesion.flat[int(np.argmax(heatmap))]) and total > 0
        return cls(inside, peak_inside, float(lesion.mean()))


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class against the others, NaN if ``support``, its number of images, is 0.

    ``recall_at_specificity`` is the highest recall at a specificity of at least `SPECIFICITY`.
    """

    precision: float
    recall: float
    f1: float
    support: int
    recall_at_specificity: float


@dataclass(frozen=True)
class ClassificationReport:
    """Metrics of class probabilities.

    ``ece`` is the expected calibration error with ten bins (Guo 2017), ``gmean`` the geometric
    mean of the recalls, ``kappa`` Cohen's kappa, ``mcc`` Matthews' correlation coefficient.
    ``confusion`` has true classes in rows and predicted classes in columns.
    """

    images: int
    accuracy: float
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    mcc: float
    gmean: float
    kappa: float
    macro_roc_auc: float
    macro_pr_auc: float
    ece: float
    by_class: dict[str, ClassMetrics]
    confusion: list[list[int]]


@dataclass(frozen=True)
class SegmentationReport:
    """Metrics of predicted masks.

    ``dice`` and ``iou`` are means over images with a lesion. ``detection_rate`` is the share of
    these on which the predicted mask overlaps the lesion, ``normal_without_mask`` the share of
    lesion-free images on which the predicted mask is empty.
    """

    images_with_lesion: int
    dice: float
    iou: float
    dice_median: float
    detection_rate: float
    images_without_lesion: int
    normal_without_mask: float


@dataclass(frozen=True)
class LocalizationReport:
    """Means of `HeatmapLocalization` over images with a lesion."""

    energy_inside_lesion: float
    pointing_game: float
    lesion_area_share: float


def score_masks(overlaps: Sequence[Overlap]) -> SegmentationReport:
    """Average overlaps; the mean over no image is NaN."""
    lesions = [overlap for overlap in overlaps if overlap.true_px]
    normal = [overlap for overlap in overlaps if not overlap.true_px]
    dice = [overlap.dice for overlap in lesions]
    return SegmentationReport(
        images_with_lesion=len(lesions),
        dice=_mean(dice),
        iou=_mean([overlap.iou for overlap in lesions]),
        dice_median=float(np.median(dice)) if dice else float("nan"),
        detection_rate=_mean([overlap.intersection_px > 0 for overlap in lesions]),
        images_without_lesion=len(normal),
        normal_without_mask=_mean([overlap.predicted_px == 0 for overlap in normal]),
    )


def score_heatmaps(localizations: Sequence[HeatmapLocalization]) -> LocalizationReport:
    """Average localizations; the mean over no image is NaN."""
    return LocalizationReport(
        energy_inside_lesion=_mean([x.energy_inside for x in localizations]),
        pointing_game=_mean([x.peak_inside for x in localizations]),
        lesion_area_share=_mean([x.lesion_area for x in localizations]),
    )


def score_classes(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str] = CLASSES,
) -> ClassificationReport:
    """Compare probabilities ``(n, len(classes))`` with true classes ``(n,)``, n > 0.

    Macro averages leave out classes that no image has.
    """
    table = confusion_matrix(labels, probabilities.argmax(1), len(classes))
    by_class = {
        name: _class_metrics(table, k, recall_at_specificity(labels == k, probabilities[:, k]))
        for k, name in enumerate(classes)
    }
    present = [x for x in by_class.values() if x.support]
    recall = _mean([x.recall for x in present])
    return ClassificationReport(
        images=len(labels),
        accuracy=float(np.trace(table) / table.sum()),
        balanced_accuracy=recall,
        macro_precision=_mean([x.precision for x in present]),
        macro_recall=recall,
        macro_f1=_mean([x.f1 for x in present]),
        mcc=mcc(table),
        gmean=gmean(table),
        kappa=kappa(table),
        macro_roc_auc=_macro_average(roc_auc, labels, probabilities),
        macro_pr_auc=_macro_average(pr_auc, labels, probabilities),
        ece=expected_calibration_error(labels, probabilities),
        by_class=by_class,
        confusion=table.tolist(),
    )


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int = len(CLASSES)
) -> NDArray[np.int64]:
    """Count images ``(classes, classes)``: true classes in rows, predicted classes in columns."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return table


def mcc(table: NDArray[np.int64]) -> float:
    """Matthews correlation coefficient of several classes (Gorodkin 2004); 0 if undefined."""
    total, correct = int(table.sum()), int(np.trace(table))
    true, predicted = table.sum(1).astype(float), table.sum(0).astype(float)
    covariance = correct * total - true @ predicted
    variances = (total**2 - true @ true) * (total**2 - predicted @ predicted)
    return float(covariance / np.sqrt(variances)) if variances else 0.0


def gmean(table: NDArray[np.int64]) -> float:
    """Geometric mean of the recalls of the classes present (Kubat 1997; Sun 2006)."""
    support = table.sum(1)
    recalls = np.diag(table)[support > 0] / support[support > 0]
    return float(np.prod(recalls) ** (1 / len(recalls)))


def kappa(table: NDArray[np.int64]) -> float:
    """Agreement beyond chance (Cohen 1960); NaN if a single class is both true and predicted."""
    total = table.sum()
    by_chance = float(table.sum(1) @ table.sum(0)) / total**2
    if by_chance == 1:
        return float("nan")
    return float((np.trace(table) / total - by_chance) / (1 - by_chance))


def roc_auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve (Mann-Whitney U, ties count half); NaN without both classes."""
    difference = score[positive][:, None] - score[~positive][None]
    return _mean((np.sign(difference).ravel() + 1) / 2)


def pr_auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Average precision, the step-wise area under the PR curve; NaN without positives."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(positive[order]), score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # equal scores share one threshold
    precision = hits[last] / (np.flatnonzero(last) + 1)
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at_specificity(
    positive: NDArray[np.bool_], score: NDArray[np.float64], specificity: float = SPECIFICITY
) -> float:
    """Highest recall at a specificity of at least ``specificity``; NaN without both classes."""
    if positive.all() or not positive.any():
        return float("nan")
    negatives = np.sort(score[~positive])[::-1]
    false_positives = int((1 - specificity) * len(negatives) + 1e-9)
    threshold = negatives[false_positives] if false_positives < len(negatives) else -np.inf
    return float(np.mean(score[positive] > threshold))


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> float:
    """Mean difference of confidence and accuracy over ten confidence bins (Guo 2017)."""
    bins = 10
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[bin_of == k].sum() - correct[bin_of == k].sum())) for k in range(bins)
    ]
    return sum(gaps) / len(labels)


def nan_to_none(value: Any) -> Any:
    """Replace NaN, which JSON lacks, by None in nested dictionaries and lists."""
    if isinstance(value, dict):
        return {key: nan_to_none(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [nan_to_none(inner) for inner in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _class_metrics(table: NDArray[np.int64], k: int, at_specificity: float) -> ClassMetrics:
    hits, support, predicted = int(table[k, k]), int(table[k].sum()), int(table[:, k].sum())
    if not support:
        # 0 would count as an error of the network.
        nan = float("nan")
        return ClassMetrics(nan, nan, nan, support, at_specificity)
    precision = hits / predicted if predicted else 0.0
    f1 = 2 * hits / (support + predicted)
    return ClassMetrics(precision, hits / support, f1, support, at_specificity)


def _macro_average(
    metric: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> float:
    values = [metric(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    return _mean([value for value in values if not np.isnan(value)])


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
