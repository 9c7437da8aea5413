"""Calibration of class probabilities, and the confidence threshold.

Bias-corrected temperature scaling (Alexandari 2020, arXiv:1901.06852): a temperature corrects
over- or underconfidence (Guo 2017, arXiv:1706.04599), a bias per class corrects how often the
network predicts that class. Below the confidence threshold a result is undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import minimize

TARGET_ACCURACY = 0.95
_RIDGE = 1e-3
_LARGEST_BIAS = 2.0


class LabeledPrediction(Protocol):
    """Class probabilities with the true class; implementations are dataclasses."""

    @property
    def label(self) -> int:
        """Index of the true class."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Probability of each class."""


_Prediction = TypeVar("_Prediction", bound=LabeledPrediction)


@dataclass(frozen=True)
class Calibration:
    """Calibrated probabilities are ``softmax(logits / temperature + class_bias)``.

    The biases sum to 0.
    """

    temperature: float
    class_bias: tuple[float, ...]


@dataclass(frozen=True)
class ConfidenceThreshold:
    """The confidence below which results are undecided, and what it achieves.

    ``coverage`` is the share of images at or above ``threshold``, ``accuracy`` the accuracy on
    them (None if there are none), ``target_accuracy`` what was asked for. Coverage and accuracy
    are optimistic unless ``held_out``, that is measured on other images than the threshold was
    chosen on.
    """

    threshold: float
    target_accuracy: float
    accuracy: float | None
    coverage: float
    held_out: bool = False


def true_labels(predictions: Sequence[LabeledPrediction]) -> NDArray[np.int64]:
    """Return the true classes ``(n,)``."""
    return np.array([x.label for x in predictions])


def class_probabilities(predictions: Sequence[LabeledPrediction]) -> NDArray[np.float64]:
    """Return the probabilities ``(n, classes)``."""
    return np.array([x.probabilities for x in predictions])


def fit_calibration(
    predictions: Sequence[LabeledPrediction], *, class_bias: bool = False
) -> Calibration:
    """Fit the calibration by maximum likelihood.

    The temperature is limited to 0.2 to 5. Biases are 0, or with ``class_bias`` limited to ±2.
    ``predictions`` must be uncalibrated and of images that the network was not trained on.
    """
    logits, labels = _to_logits(predictions), true_labels(predictions)
    classes = logits.shape[1]

    def loss(x: NDArray[np.float64]) -> float:
        likelihood = special.log_softmax(logits / np.exp(x[0]) + x[1:], axis=1)
        # Softmax determines biases only up to a constant; the ridge makes them unique.
        ridge = _RIDGE * float(x[1:] @ x[1:])
        return -float(likelihood[np.arange(len(labels)), labels].mean()) + ridge

    largest = _LARGEST_BIAS if class_bias else 0.0
    bounds = [(np.log(0.2), np.log(5.0)), *[(-largest, largest)] * classes]
    fitted = minimize(loss, np.zeros(1 + classes), bounds=bounds, method="L-BFGS-B").x
    bias = fitted[1:] - fitted[1:].mean() + 0.0  # turns -0 into 0
    return Calibration(round(float(np.exp(fitted[0])), 4), tuple(round(float(x), 4) for x in bias))


def apply_calibration(
    predictions: Sequence[_Prediction], calibration: Calibration
) -> list[_Prediction]:
    """Return copies of uncalibrated predictions with calibrated probabilities."""
    scaled = _to_logits(predictions) / calibration.temperature + np.array(calibration.class_bias)
    rows = special.softmax(scaled, axis=1).tolist()
    return [
        replace(prediction, probabilities=tuple(row))  # type: ignore[type-var]  # a dataclass
        for prediction, row in zip(predictions, rows, strict=True)
    ]


def find_confidence_threshold(
    predictions: Sequence[LabeledPrediction], target_accuracy: float = TARGET_ACCURACY
) -> ConfidenceThreshold:
    """Find the lowest threshold at which the target accuracy is reached.

    ``predictions`` are calibrated, of images that the network was not trained on. If no threshold
    reaches the target, it is 1 and every result is undecided.
    """
    probabilities = class_probabilities(predictions)
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == true_labels(predictions)
    for threshold in (0.0, *np.unique(confidence).tolist()):
        decided = confidence >= threshold
        if (accuracy := float(correct[decided].mean())) >= target_accuracy:
            coverage = float(decided.mean())
            return ConfidenceThreshold(threshold, target_accuracy, accuracy, coverage)
    return ConfidenceThreshold(1.0, target_accuracy, None, 0.0)


def cross_validate_threshold(
    folds: Sequence[Sequence[LabeledPrediction]], target_accuracy: float
) -> ConfidenceThreshold:
    """Find the threshold on all folds; measure it fold by fold with that of the other folds.

    With a single fold it is measured on the images that it was chosen on.
    """
    chosen = find_confidence_threshold([x for fold in folds for x in fold], target_accuracy)
    if len(folds) < 2:
        return chosen
    decided = list[LabeledPrediction]()
    for number, fold in enumerate(folds):
        others = [x for other, rows in enumerate(folds) if other != number for x in rows]
        threshold = find_confidence_threshold(others, target_accuracy).threshold
        decided += [x for x in fold if max(x.probabilities) >= threshold]
    correct = [int(np.argmax(x.probabilities)) == x.label for x in decided]
    return replace(
        chosen,
        accuracy=float(np.mean(correct)) if correct else None,
        coverage=len(decided) / sum(map(len, folds)),
        held_out=True,
    )


def _to_logits(predictions: Sequence[LabeledPrediction]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(np.clip(class_probabilities(predictions), 1e-12, None))
    return logits
