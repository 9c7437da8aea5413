import numpy as np
import pytest

from models.evaluation import Outcome, Overlap, report
from models.training.calibration import fit_temperature, rescale

NOTHING = Overlap(0, 0, 0)


def outcomes(sharpness: float) -> list[Outcome]:
    """A network that is right as often as it says, its logits then multiplied."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    sharp = np.exp(sharpness * logits)
    sharp /= sharp.sum(1, keepdims=True)
    return [
        Outcome(int(rng.choice(3, p=p)), (float(q[0]), float(q[1]), float(q[2])), NOTHING)
        for p, q in zip(honest, sharp, strict=True)
    ]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_it_finds_by_how_much_a_network_exaggerates(sharpness: float) -> None:
    assert fit_temperature(outcomes(sharpness)) == pytest.approx(sharpness, rel=0.06)


def test_rescaling_makes_confidence_honest_and_leaves_the_answers() -> None:
    boastful = outcomes(2.5)

    honest = rescale(boastful, fit_temperature(boastful))

    before, after = report(boastful).classification, report(honest).classification
    assert before.ece > 0.1
    assert after.ece < 0.03
    assert after.confusion == before.confusion
