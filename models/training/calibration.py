"""Temperature scaling (Guo 2017, arXiv:1706.04599): one number that makes confidence honest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special
from scipy.optimize import minimize_scalar

from models.evaluation import Outcome


def fit_temperature(outcomes: Sequence[Outcome]) -> float:
    """Find the temperature under which the true classes are likeliest, between 0.2 and 5.

    ``outcomes`` must come from images the network was not trained on, at temperature 1.
    """
    logits = np.log([outcome.probabilities for outcome in outcomes])
    labels = np.array([outcome.label for outcome in outcomes])

    def loss(log_temperature: float) -> float:
        likelihood = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(likelihood[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def rescale(outcomes: Sequence[Outcome], temperature: float) -> list[Outcome]:
    """Return the outcomes as a network with this temperature would have given them."""
    logits = np.log([outcome.probabilities for outcome in outcomes])
    return [
        replace(outcome, probabilities=(row[0], row[1], row[2]))
        for outcome, row in zip(
            outcomes, special.softmax(logits / temperature, axis=1).tolist(), strict=True
        )
    ]
