import numpy as np
import pytest
from scipy import special

from models.evaluation.calibration import (
    Calibration,
    apply_calibration,
    cross_validate_threshold,
    find_confidence_threshold,
    fit_calibration,
)
from models.evaluation.evaluate import CaseResult, score_cases
from models.evaluation.metrics import Overlap

NOTHING = Overlap(0, 0, 0)


def outcomes(sharpness: float, favor: tuple[float, float, float] = (0, 0, 0)) -> list[CaseResult]:
    """A network that is right as often as it says, its logits then multiplied and moved."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    honest = special.softmax(logits, axis=1)
    told = special.softmax(sharpness * (logits + np.array(favor)), axis=1)
    return [
        CaseResult(int(rng.choice(3, p=p)), (float(q[0]), float(q[1]), float(q[2])), NOTHING)
        for p, q in zip(honest, told, strict=True)
    ]


def confident(confidence: float, *, right: bool) -> CaseResult:
    rest = (1 - confidence) / 2
    return CaseResult(0 if right else 1, (confidence, rest, rest), NOTHING)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_it_finds_by_how_much_a_network_exaggerates(sharpness: float) -> None:
    assert fit_calibration(outcomes(sharpness)).temperature == pytest.approx(sharpness, rel=0.07)


def test_it_finds_which_class_a_network_favors() -> None:
    found = fit_calibration(outcomes(1.5, favor=(0.8, 0.0, -0.8)), class_bias=True)

    assert found.temperature == pytest.approx(1.5, rel=0.07)
    assert found.class_bias == pytest.approx((-0.8, 0, 0.8), abs=0.1)
    assert sum(found.class_bias) == pytest.approx(0, abs=1e-3)


def test_calibrating_makes_confidence_honest() -> None:
    boastful = outcomes(2.5, favor=(0.8, 0.0, -0.8))

    honest = apply_calibration(boastful, fit_calibration(boastful, class_bias=True))

    before, after = score_cases(boastful).classification, score_cases(honest).classification
    assert before.ece > 0.1
    assert after.ece < 0.03
    assert after.accuracy > before.accuracy


def test_a_temperature_alone_leaves_the_answers() -> None:
    boastful = outcomes(2.5)

    honest = apply_calibration(boastful, Calibration(2.5, (0.0, 0.0, 0.0)))

    assert (
        score_cases(honest).classification.confusion
        == score_cases(boastful).classification.confusion
    )


def test_a_probability_of_nothing_can_be_calibrated() -> None:
    sure = [CaseResult(0, (1.0, 0.0, 0.0), NOTHING), CaseResult(1, (1.0, 0.0, 0.0), NOTHING)]

    found = fit_calibration(sure, class_bias=True)

    assert np.isfinite([found.temperature, *found.class_bias]).all()


def test_below_the_threshold_too_many_would_be_wrong() -> None:
    told = [
        *[confident(0.9, right=True)] * 19,
        confident(0.9, right=False),
        *[confident(0.5, right=True)] * 5,
        *[confident(0.5, right=False)] * 5,
    ]

    found = find_confidence_threshold(told, 0.95)

    assert found.threshold == 0.9
    assert found.accuracy == pytest.approx(0.95)
    assert found.coverage == pytest.approx(20 / 30)


def test_who_is_right_often_enough_may_always_speak() -> None:
    found = find_confidence_threshold([confident(0.4, right=True)] * 3, 0.95)

    assert (found.threshold, found.coverage) == (0.0, 1.0)


def test_who_never_is_right_should_not_speak() -> None:
    found = find_confidence_threshold([confident(0.9, right=False)] * 3, 0.95)

    assert (found.threshold, found.coverage) == (1.0, 0.0)


def test_each_fold_is_judged_by_the_threshold_of_the_others() -> None:
    easy = [*[confident(0.6, right=True)] * 10, *[confident(0.9, right=True)] * 10]
    hard = [*[confident(0.6, right=False)] * 10, *[confident(0.9, right=True)] * 10]

    found = cross_validate_threshold([easy, hard], 0.95)

    assert found.held_out
    assert found.threshold == 0.9
    # All 20 of the hard fold pass, as the easy one needs no threshold; 10 of the easy one do.
    assert found.coverage == pytest.approx(30 / 40)
    assert found.accuracy == pytest.approx(20 / 30)


def test_a_single_fold_is_judged_by_itself() -> None:
    told = [confident(0.9, right=True)] * 3

    assert cross_validate_threshold([told], 0.95) == find_confidence_threshold(told, 0.95)
