"""How good the answers are, in numbers, on images whose truth is known.

Everything is numpy: no figure here is worth another dependency.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom.terms.classification import CLASSES
from models.predictor import Predictor
from models.types import FramePrediction

Predict = Callable[[Sequence[NDArray[np.uint8]]], Sequence[FramePrediction]]
Case = tuple[NDArray[np.uint8], int, NDArray[np.bool_] | None]
"""A frame, its class as an index into `CLASSES`, and its lesion mask ``(h, w)``; None: unknown."""


SPECIFICITY = 0.90


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of a true and a predicted mask, and of both."""

    true_px: int
    predicted_px: int
    both_px: int

    @classmethod
    def of(cls, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> "Overlap":
        """Count; the masks must be of one shape."""
        return cls(int(truth.sum()), int(predicted.sum()), int((truth & predicted).sum()))

    @property
    def dice(self) -> float:
        """Dice coefficient; 1 when both masks are empty."""
        total = self.true_px + self.predicted_px
        return 2 * self.both_px / total if total else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 when both masks are empty."""
        union = self.true_px + self.predicted_px - self.both_px
        return self.both_px / union if union else 1.0


@dataclass(frozen=True)
class Heat:
    """Where a heat map stands out: the share of its sum ``inside`` the lesion, and whether its
    highest pixel lies there (``pointed``; pointing game, Zhang 2018, arXiv:1608.00507).

    ``lesion_share`` of the picture is lesion: what a map that knows nothing would reach in both. A
    map in which nothing stands out has no share inside, and points nowhere.
    """

    inside: float
    pointed: bool
    lesion_share: float

    @classmethod
    def of(cls, heatmap: NDArray[np.float32], lesion: NDArray[np.bool_]) -> "Heat | None":
        """Measure a map ``(h, w)``, not negative; None where there is no lesion to be found."""
        if not lesion.any():
            return None
        total = float(heatmap.sum(dtype=np.float64))
        inside = float(heatmap[lesion].sum(dtype=np.float64)) / total if total else 0.0
        pointed = bool(lesion.flat[int(np.argmax(heatmap))]) and total > 0
        return cls(inside, pointed, float(lesion.mean()))


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest; ``support`` is how many images are of it, its figures NaN if none.

    ``recall_at_specificity`` is of any threshold of its own that keeps a specificity of 0.90.
    """

    precision: float
    recall: float
    f1: float
    support: int
    recall_at_specificity: float


@dataclass(frozen=True)
class ClassificationReport:
    """Figures of the class probabilities; ``confusion`` has truth in rows, prediction in columns.

    ``ece`` is the expected calibration error over ten bins of confidence (Guo 2017), ``gmean`` the
    geometric mean of the recalls, ``kappa`` Cohen's.
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
    by_class: dict[str, ClassFigures]
    confusion: list[list[int]]


@dataclass(frozen=True)
class SegmentationReport:
    """Figures of the masks: overlap on images with a lesion, restraint on those without.

    ``found`` is the share of lesions' images with any overlap at all; ``normal_without_mask`` the
    share of lesion-free images on which nothing was outlined.
    """

    images_with_lesion: int
    dice: float
    iou: float
    dice_median: float
    found: float
    images_without_lesion: int
    normal_without_mask: float


@dataclass(frozen=True)
class ExplanationReport:
    """Means of `Heat` over images with a lesion."""

    energy_inside_lesion: float
    pointing_game: float
    lesion_area_share: float


@dataclass(frozen=True)
class EvaluationReport:
    """Classes, masks and heat maps over one set of images."""

    classification: ClassificationReport
    segmentation: SegmentationReport
    explanation: ExplanationReport

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a figure that has no meaning on these images is None."""
        values: dict[str, Any] = _without_nan(asdict(self))
        return values


@dataclass(frozen=True)
class Outcome:
    """What was predicted for one case beside what is true; no overlap with an unknown outline."""

    label: int
    probabilities: tuple[float, float, float]
    overlap: Overlap | None
    heat: Heat | None = None


def evaluate(predict: Predictor | Predict, cases: Iterable[Case]) -> EvaluationReport:
    """Predict each case and score them all; at least one case."""
    return report(outcomes(predict, cases))


def outcomes(predict: Predictor | Predict, cases: Iterable[Case]) -> list[Outcome]:
    """Predict each case. Only 32 frames are held at a time."""
    call = predict.predict if isinstance(predict, Predictor) else predict
    return [
        _outcome(label, lesion, prediction)
        for chunk in _chunks(cases, 32)
        for (_, label, lesion), prediction in zip(
            chunk, call([frame for frame, _, _ in chunk]), strict=True
        )
    ]


def report(outcomes: Sequence[Outcome]) -> EvaluationReport:
    """Score outcomes, at least one."""
    labels = np.array([outcome.label for outcome in outcomes])
    probabilities = np.array([outcome.probabilities for outcome in outcomes])
    masks = score_masks([x.overlap for x in outcomes if x.overlap is not None])
    heat = score_heat([x.heat for x in outcomes if x.heat is not None])
    return EvaluationReport(score_classes(labels, probabilities), masks, heat)


def score_masks(overlaps: Sequence[Overlap]) -> SegmentationReport:
    """Summarize overlaps; a mean over no image is NaN."""
    lesions = [overlap for overlap in overlaps if overlap.true_px]
    normal = [overlap for overlap in overlaps if not overlap.true_px]
    dice = [overlap.dice for overlap in lesions]
    return SegmentationReport(
        images_with_lesion=len(lesions),
        dice=_mean(dice),
        iou=_mean([overlap.iou for overlap in lesions]),
        dice_median=float(np.median(dice)) if dice else float("nan"),
        found=_mean([overlap.both_px > 0 for overlap in lesions]),
        images_without_lesion=len(normal),
        normal_without_mask=_mean([overlap.predicted_px == 0 for overlap in normal]),
    )


def score_heat(heats: Sequence[Heat]) -> ExplanationReport:
    """Summarize where heat maps stand out; a mean over no image is NaN."""
    return ExplanationReport(
        energy_inside_lesion=_mean([heat.inside for heat in heats]),
        pointing_game=_mean([heat.pointed for heat in heats]),
        lesion_area_share=_mean([heat.lesion_share for heat in heats]),
    )


def score_classes(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str] = CLASSES,
) -> ClassificationReport:
    """Score probabilities ``(n, len(classes))`` against ``(n,)`` true classes; n > 0."""
    table = confusion(labels, probabilities.argmax(1), len(classes))
    figures = [
        _class_figures(table, k, recall_at_specificity(labels == k, probabilities[:, k]))
        for k in range(len(classes))
    ]
    present = [x for x in figures if x.support]
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
        macro_roc_auc=_macro(roc_auc, labels, probabilities),
        macro_pr_auc=_macro(pr_auc, labels, probabilities),
        ece=expected_calibration_error(labels, probabilities),
        by_class=dict(zip(classes, figures, strict=True)),
        confusion=table.tolist(),
    )


def confusion(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int = len(CLASSES)
) -> NDArray[np.int64]:
    """Count ``(classes, classes)``: truth in rows, prediction in columns."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return table


def mcc(table: NDArray[np.int64]) -> float:
    """Matthews correlation for several classes (Gorodkin 2004); 0 where it is undefined."""
    total, right = int(table.sum()), int(np.trace(table))
    true, predicted = table.sum(1).astype(float), table.sum(0).astype(float)
    covariance = right * total - true @ predicted
    spread = (total**2 - true @ true) * (total**2 - predicted @ predicted)
    return float(covariance / np.sqrt(spread)) if spread else 0.0


def gmean(table: NDArray[np.int64]) -> float:
    """Geometric mean of the recalls of the classes that there are (Kubat 1997; Sun 2006)."""
    support = table.sum(1)
    recalls = np.diag(table)[support > 0] / support[support > 0]
    return float(np.prod(recalls) ** (1 / len(recalls)))


def kappa(table: NDArray[np.int64]) -> float:
    """Agreement beyond chance (Cohen 1960); NaN where truth and answers are all of one class."""
    total = table.sum()
    by_chance = float(table.sum(1) @ table.sum(0)) / total**2
    if by_chance == 1:
        return float("nan")
    return float((np.trace(table) / total - by_chance) / (1 - by_chance))


def roc_auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Chance that a positive scores above a negative, ties half (Mann-Whitney); NaN if one lacks."""
    above = score[positive][:, None] - score[~positive][None]
    return _mean((np.sign(above).ravel() + 1) / 2)


def pr_auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Average precision: the step-wise area under precision and recall; NaN without positives."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(positive[order]), score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # equal scores make one threshold
    precision = hits[last] / (np.flatnonzero(last) + 1)
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at_specificity(
    positive: NDArray[np.bool_], score: NDArray[np.float64], specificity: float = SPECIFICITY
) -> float:
    """Highest recall of any threshold that keeps ``specificity``; NaN when one side lacks."""
    if positive.all() or not positive.any():
        return float("nan")
    # As many negatives may be called positive as the specificity leaves: the next one is the bar.
    against = np.sort(score[~positive])[::-1]
    allowed = int((1 - specificity) * len(against) + 1e-9)
    bar = against[allowed] if allowed < len(against) else -np.inf
    return float(np.mean(score[positive] > bar))


def expected_calibration_error(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, bins: int = 10
) -> float:
    """Mean distance of confidence from accuracy over equal bins of confidence (Guo 2017)."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(confidence[bin_of == k].sum() - right[bin_of == k].sum())) for k in range(bins)
    ]
    return sum(gaps) / len(labels)


def _class_figures(table: NDArray[np.int64], k: int, at_specificity: float) -> ClassFigures:
    hits, support, predicted = int(table[k, k]), int(table[k].sum()), int(table[:, k].sum())
    if not support:
        # No answer could have been right: a 0 would blame the network for the choice of images.
        nan = float("nan")
        return ClassFigures(nan, nan, nan, support, at_specificity)
    return ClassFigures(
        precision=hits / predicted if predicted else 0.0,
        recall=hits / support,
        f1=2 * hits / (support + predicted),
        support=support,
        recall_at_specificity=at_specificity,
    )


def _outcome(label: int, lesion: NDArray[np.bool_] | None, said: FramePrediction) -> Outcome:
    if lesion is None:
        return Outcome(label, said.probabilities, None, None)
    overlap, heat = Overlap.of(lesion, said.mask), Heat.of(said.heatmap, lesion)
    return Outcome(label, said.probabilities, overlap, heat)


def _macro(
    figure: Callable[[NDArray[np.bool_], NDArray[np.float64]], float],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> float:
    values = [figure(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    return _mean([value for value in values if not np.isnan(value)])


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _chunks(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    remaining = iter(cases)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
