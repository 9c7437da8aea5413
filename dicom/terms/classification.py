"""The classes that the networks tell apart, and the classification of a frame, image or study."""

from dataclasses import dataclass
from typing import Final

NORMAL: Final = "normal"
BENIGN: Final = "benign"
MALIGNANT: Final = "malignant"
CLASSES: Final = (NORMAL, BENIGN, MALIGNANT)
"""In the order of `Probabilities`, and of rising suspicion."""

UNDECIDED: Final = "undecided"
"""Displayed in place of a class when no class reaches the confidence threshold."""

Probabilities = tuple[float, float, float]
"""Of normal, benign and malignant; each in [0, 1]."""


@dataclass(frozen=True)
class Classification:
    """The networks' result for a frame, an image or a study.

    ``label`` is the most probable class. If ``undecided``, its probability is below the preset's
    confidence threshold, and no report asserts it.
    """

    label: str
    probabilities: Probabilities
    undecided: bool = False

    @property
    def asserted_class(self) -> str | None:
        """The class that a report may state; None if undecided."""
        return None if self.undecided else self.label

    @property
    def displayed_class(self) -> str:
        """The class, or ``undecided``."""
        return UNDECIDED if self.undecided else self.label

    @property
    def confidence(self) -> float:
        """Probability of the most probable class."""
        return max(self.probabilities)


def suspicion(label: str, probabilities: Probabilities) -> tuple[int, float, float]:
    """Return a key that sorts by suspicion: by class, then by the probability of malignant, then
    of benign.
    """
    _, benign, malignant = probabilities
    return CLASSES.index(label), malignant, benign


def format_probability(probability: float) -> str:
    """Return whole percent for people; only exactly 0 and 1 become 0 % and 100 %."""
    if 0.995 <= probability < 1:
        return "> 99 %"
    return "< 1 %" if 0 < probability < 0.005 else f"{100 * probability:.0f} %"
