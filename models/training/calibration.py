"""Confidence made honest, and the confidence below which nothing should be said.

Bias-corrected temperature scaling (Alexandari 2020, arXiv:1901.06852): one number takes back how
much a network exaggerates (Guo 2017, arXiv:1706.04599), one a class how much it favors the class.
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


class Judged(Protocol):
    """A prediction beside the truth: an outcome of `models.evaluation`, or one like it."""

    @property
    def label(self) -> int:
        """The true class."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """One per class."""


_Judged = TypeVar("_Judged", bound=Judged)


@dataclass(frozen=True)
class Calibration:
    """Probabilities become ``softmax(logits / temperature + class_bias)``; the biases sum to 0."""

    temperature: float
    class_bias: tuple[float, ...]


@dataclass(frozen=True)
class Abstention:
    """Answers whose confidence is ``below`` are withheld.

    Of those given, a share of ``coverage``, ``accuracy`` are right (None where none is given);
    ``target`` is what was asked. Both are flattered unless ``held_out``: measured on images that
    ``below`` was not found on.
    """

    below: float
    target: float
    accuracy: float | None
    coverage: float
    held_out: bool = False


def fit_calibration(outcomes: Sequence[Judged], *, biased: bool = False) -> Calibration:
    """Find the calibration under which the true classes are likeliest.

    The temperature stays between 0.2 and 5; biases are 0, or if ``biased`` each within 2.
    ``outcomes`` must come from images the network was not trained on, uncalibrated.
    """
    logits, labels = _logits(outcomes), np.array([x.label for x in outcomes])
    classes = logits.shape[1]

    def loss(x: NDArray[np.float64]) -> float:
        likelihood = special.log_softmax(logits / np.exp(x[0]) + x[1:], axis=1)
        # The ridge decides where the data do not: softmax knows biases up to a constant only.
        return -float(likelihood[np.arange(len(labels)), labels].mean()) + _RIDGE * float(
            x[1:] @ x[1:]
        )

    largest = _LARGEST_BIAS if biased else 0.0
    bounds = [(np.log(0.2), np.log(5.0)), *[(-largest, largest)] * classes]
    found = minimize(loss, np.zeros(1 + classes), bounds=bounds, method="L-BFGS-B").x
    bias = found[1:] - found[1:].mean() + 0.0  # which makes 0 of -0
    return Calibration(round(float(np.exp(found[0])), 4), tuple(round(float(x), 4) for x in bias))


def apply_calibration(outcomes: Sequence[_Judged], calibration: Calibration) -> list[_Judged]:
    """Return the outcomes as a network so calibrated would have given them."""
    scaled = _logits(outcomes) / calibration.temperature + np.array(calibration.class_bias)
    rows = special.softmax(scaled, axis=1).tolist()
    return [
        replace(outcome, probabilities=tuple(row))  # type: ignore[type-var]  # a dataclass
        for outcome, row in zip(outcomes, rows, strict=True)
    ]


def find_abstention(outcomes: Sequence[Judged], target: float = TARGET_ACCURACY) -> Abstention:
    """Find the smallest confidence at which the answers given are right often enough.

    ``outcomes`` as for `fit_calibration`, but calibrated. Where no confidence reaches ``target``,
    ``below`` is 1 and nothing is said.
    """
    probabilities = np.array([x.probabilities for x in outcomes])
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == [x.label for x in outcomes]
    for below in (0.0, *np.unique(confidence).tolist()):
        given = confidence >= below
        if right[given].mean() >= target:
            return Abstention(below, target, float(right[given].mean()), float(given.mean()))
    return Abstention(1.0, target, None, 0.0)


def abstain_by_fold(folds: Sequence[Sequence[Judged]], target: float) -> Abstention:
    """As `find_abstention` over all folds, measured on each by what the others would have it be.

    A single fold has no others, and is measured on itself.
    """
    found = find_abstention([x for fold in folds for x in fold], target)
    if len(folds) < 2:
        return found
    given = [x for number in range(len(folds)) for x in _given(folds, number, target)]
    right = [int(np.argmax(x.probabilities)) == x.label for x in given]
    return replace(
        found,
        accuracy=float(np.mean(right)) if right else None,
        coverage=len(given) / sum(map(len, folds)),
        held_out=True,
    )


def _given(folds: Sequence[Sequence[Judged]], number: int, target: float) -> list[Judged]:
    others = [x for other, fold in enumerate(folds) if other != number for x in fold]
    below = find_abstention(others, target).below
    return [x for x in folds[number] if max(x.probabilities) >= below]


def _logits(outcomes: Sequence[Judged]) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(
        np.clip([outcome.probabilities for outcome in outcomes], 1e-12, None)
    )
    return logits
