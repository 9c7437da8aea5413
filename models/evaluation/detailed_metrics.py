"""All metrics that a report shows, as plain values for JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from dicom.terms.classification import CLASSES, MALIGNANT
from models.evaluation.bootstrap import bootstrap_intervals
from models.evaluation.calibration import LabeledPrediction, class_probabilities, true_labels
from models.evaluation.evaluate import CaseResult, score_cases
from models.evaluation.evaluated_images import EvaluatedImage
from models.evaluation.metrics import (
    expected_calibration_error,
    gmean,
    kappa,
    mcc,
    score_heatmaps,
)


def headline_metrics(results: Sequence[EvaluatedImage]) -> dict[str, float]:
    """Return the metrics that are given with an interval, by name; NaN if undefined."""
    report = score_cases(
        [
            CaseResult(x.label, x.probabilities, x.overlap if x.sample.annotated else None)
            for x in results
        ]
    )
    classes, masks = report.classification, report.segmentation
    return {
        "accuracy": classes.accuracy,
        "balanced_accuracy": classes.balanced_accuracy,
        "macro_precision": classes.macro_precision,
        "macro_recall": classes.macro_recall,
        "macro_f1": classes.macro_f1,
        "mcc": classes.mcc,
        "macro_roc_auc": classes.macro_roc_auc,
        "macro_pr_auc": classes.macro_pr_auc,
        "malignant_recall": classes.by_class[MALIGNANT].recall,
        "malignant_recall_at_specificity_0.90": classes.by_class[MALIGNANT].recall_at_specificity,
        "ece": classes.ece,
        "dice": masks.dice,
        "iou": masks.iou,
        "normal_without_mask": masks.normal_without_mask,
    }


def headline_with_intervals(
    results: Sequence[EvaluatedImage], *, resamples: int = 1000
) -> dict[str, dict[str, float | None]]:
    """Return each headline metric with its 95 % bootstrap interval over duplicate groups."""
    intervals = bootstrap_intervals(
        results,
        lambda result: result.sample.duplicate_group,
        headline_metrics,
        resamples=resamples,
    )
    return {
        name: {
            "value": None if np.isnan(value) else value,
            "low": intervals[name][0],
            "high": intervals[name][1],
        }
        for name, value in headline_metrics(results).items()
    }


def classification_metrics(
    predictions: Sequence[LabeledPrediction], classes: Sequence[str] = CLASSES
) -> dict[str, Any]:
    """Return metrics per class, macro and weighted averages, agreement and calibration."""
    labels, probabilities = true_labels(predictions), class_probabilities(predictions)
    predicted = probabilities.argmax(1)
    table = metrics.confusion_matrix(labels, predicted, labels=range(len(classes)))
    averages = {
        f"{kind}_{name}": float(value)
        for kind in ("macro", "weighted")
        for name, value in zip(
            ("precision", "recall", "f1"),
            metrics.precision_recall_fscore_support(
                labels, predicted, labels=np.unique(labels), average=kind, zero_division=0
            ),
            strict=False,
        )
    }
    recalls = [table[k, k] / table[k].sum() for k in np.unique(labels)]
    return {
        "images": len(predictions),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": float(np.mean(recalls)),
        **averages,
        "gmean": gmean(table),
        "kappa": kappa(table),
        "mcc": mcc(table),
        "ece": expected_calibration_error(labels, probabilities),
        "by_class": {
            name: _one_class_metrics(labels == k, probabilities[:, k], predicted == k)
            for k, name in enumerate(classes)
        },
        "confusion": table.tolist(),
        "risk_coverage": risk_coverage(labels, probabilities),
    }


def segmentation_metrics(results: Sequence[EvaluatedImage]) -> dict[str, Any]:
    """Return metrics of masks: over all lesions, by class and by lesion size.

    ``normal_without_mask`` is the share of lesion-free images whose predicted mask is empty.
    """
    lesions = [result for result in results if result.overlap.true_px]
    shares = np.array([result.overlap.true_px / result.area_px for result in lesions])
    edges = np.quantile(shares, [1 / 3, 2 / 3]) if lesions else np.zeros(2)
    third = np.searchsorted(edges, shares)
    normal = [x for x in results if x.sample.annotated and not x.overlap.true_px]
    return {
        "all": _mean_mask_metrics(lesions),
        "by_class": {
            name: _mean_mask_metrics([x for x in lesions if x.label == k])
            for k, name in enumerate(CLASSES)
            if any(x.label == k for x in lesions)
        },
        "by_size": {
            name: _mean_mask_metrics([x for x, n in zip(lesions, third, strict=True) if n == k])
            for k, name in enumerate(("smallest third", "middle third", "largest third"))
        },
        "images_without_lesion": len(normal),
        "normal_without_mask": _mean_defined([x.overlap.predicted_px == 0 for x in normal]),
    }


def localization_metrics(results: Sequence[EvaluatedImage]) -> dict[str, float]:
    """Return how well Grad-CAM localizes lesions, and what an uninformative map would reach."""
    return asdict(score_heatmaps([x.localization for x in results if x.localization is not None]))


def risk_coverage(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Return the risk-coverage curve of selective classification (Geifman 2017) and its area.

    Coverage is the share of images accepted in order of confidence, risk the error rate on them.
    """
    confidence = probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(1) != labels)[order]
    accepted = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong) / accepted
    return {
        "coverage": (accepted / len(wrong)).tolist(),
        "risk": risk.tolist(),
        "confidence": confidence[order].tolist(),
        "aurc": float(risk.mean()),
    }


def _one_class_metrics(
    positive: NDArray[np.bool_], score: NDArray[np.float64], predicted: NDArray[np.bool_]
) -> dict[str, Any]:
    support = int(positive.sum())
    if not support:
        return {"support": 0, **dict.fromkeys(("precision", "recall", "f1", "roc_auc", "pr_auc"))}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        positive, predicted, average="binary", zero_division=0
    )
    two_classes = not positive.all()
    return {
        "support": support,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(metrics.roc_auc_score(positive, score)) if two_classes else None,
        "pr_auc": float(metrics.average_precision_score(positive, score)) if two_classes else None,
    }


_MASK_METRICS: Mapping[str, Callable[[EvaluatedImage], float]] = {
    "dice": lambda result: result.overlap.dice,
    "iou": lambda result: result.overlap.iou,
    "hd95_px": lambda result: result.hd95_px,
    "hd95_share_of_diagonal": lambda result: result.hd95_px / result.diagonal_px,
    "pixel_accuracy": lambda result: result.pixel_accuracy,
    "detection_rate": lambda result: float(result.overlap.intersection_px > 0),
}


def _mean_mask_metrics(results: Sequence[EvaluatedImage]) -> dict[str, float]:
    # HD95 is NaN where no mask was predicted; such images count in the other metrics only.
    means = {
        name: _mean_defined([metric(result) for result in results])
        for name, metric in _MASK_METRICS.items()
    }
    return {"images": len(results), **means}


def _mean_defined(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
