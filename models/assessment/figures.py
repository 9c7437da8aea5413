"""All figures of one set of judged images, as plain values for JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from dicom.terms.classification import CLASSES, MALIGNANT
from models.assessment.judged import Judged, labels_of, probabilities_of
from models.bootstrap import intervals
from models.evaluation import Outcome as EvaluationOutcome
from models.evaluation import expected_calibration_error, gmean, kappa, mcc, report, score_heat
from models.training.calibration import Judged as Answered

Figures = dict[str, float]


def headline(rows: Sequence[Judged]) -> Figures:
    """The figures that get an interval: names to values; NaN where these images allow none."""
    scored = report(
        [
            EvaluationOutcome(x.label, x.probabilities, x.overlap if x.sample.outlined else None)
            for x in rows
        ]
    )
    classes, masks = scored.classification, scored.segmentation
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


def classification(rows: Sequence[Answered], classes: Sequence[str] = CLASSES) -> dict[str, Any]:
    """Everything about the classes: each, macro and weighted averages, agreement, calibration."""
    labels, probabilities = labels_of(rows), probabilities_of(rows)
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
        "images": len(rows),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "balanced_accuracy": float(np.mean(recalls)),
        **averages,
        "gmean": gmean(table),
        "kappa": kappa(table),
        "mcc": mcc(table),
        "ece": expected_calibration_error(labels, probabilities),
        "by_class": {
            name: _of_class(labels == k, probabilities[:, k], predicted == k)
            for k, name in enumerate(classes)
        },
        "confusion": table.tolist(),
        "risk_coverage": risk_coverage(labels, probabilities),
    }


def segmentation(rows: Sequence[Judged]) -> dict[str, Any]:
    """Masks: all lesions, by class, by thirds of lesion size; and restraint on normal images."""
    lesions = [row for row in rows if row.overlap.true_px]
    shares = np.array([row.overlap.true_px / row.pixels for row in lesions])
    edges = np.quantile(shares, [1 / 3, 2 / 3]) if lesions else np.zeros(2)
    third = np.searchsorted(edges, shares)
    normal = [row for row in rows if row.sample.outlined and not row.overlap.true_px]
    return {
        "all": _overlaps(lesions),
        "by_class": {
            name: _overlaps([row for row in lesions if row.label == k])
            for k, name in enumerate(CLASSES)
            if any(row.label == k for row in lesions)
        },
        "by_size": {
            name: _overlaps([row for row, at in zip(lesions, third, strict=True) if at == k])
            for k, name in enumerate(("smallest third", "middle third", "largest third"))
        },
        "images_without_lesion": len(normal),
        "normal_without_mask": _mean([row.overlap.predicted_px == 0 for row in normal]),
    }


def explanation(rows: Sequence[Judged]) -> Figures:
    """Whether Grad-CAM looks at the lesion: energy inside it, pointing game, and what chance gives."""
    return asdict(score_heat([row.heat for row in rows if row.heat is not None]))


def risk_coverage(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Error among the images answered, when only the surest are (Geifman 2017), and its area."""
    confidence = probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(1) != labels)[order]
    risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    return {
        "coverage": (np.arange(1, len(wrong) + 1) / len(wrong)).tolist(),
        "risk": risk.tolist(),
        "confidence": confidence[order].tolist(),
        "aurc": float(risk.mean()),
    }


def with_intervals(
    rows: Sequence[Judged], *, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Each headline figure with its 95 % interval over duplicate groups (`models.bootstrap`)."""
    spans = intervals(
        rows, lambda row: row.sample.duplicate_group, headline, resamples=resamples, seed=seed
    )
    return {
        name: {"value": _plain(value), "low": spans[name][0], "high": spans[name][1]}
        for name, value in headline(rows).items()
    }


def _of_class(
    positive: NDArray[np.bool_], score: NDArray[np.float64], predicted: NDArray[np.bool_]
) -> dict[str, Any]:
    support = int(positive.sum())
    if not support:
        return {"support": 0, **dict.fromkeys(("precision", "recall", "f1", "roc_auc", "pr_auc"))}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        positive, predicted, average="binary", zero_division=0
    )
    both = not positive.all()
    return {
        "support": support,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(metrics.roc_auc_score(positive, score)) if both else None,
        "pr_auc": float(metrics.average_precision_score(positive, score)) if both else None,
    }


_MASK_FIGURES: Mapping[str, Callable[[Judged], float]] = {
    "dice": lambda row: row.overlap.dice,
    "iou": lambda row: row.overlap.iou,
    "hd95_px": lambda row: row.hd95_px,
    "hd95_share_of_diagonal": lambda row: row.hd95_px / row.diagonal_px,
    "pixel_accuracy": lambda row: row.pixel_accuracy,
    "found": lambda row: float(row.overlap.both_px > 0),
}


def _overlaps(rows: Sequence[Judged]) -> dict[str, float | None]:
    """Means; the distance of outlines only over images where something was outlined."""
    return {
        "images": len(rows),
        **{name: _mean([figure(row) for row in rows]) for name, figure in _MASK_FIGURES.items()},
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value
