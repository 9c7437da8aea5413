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


def predictions(
    sharpness: float, favor: tuple[float, float, float] = (0, 0, 0)
) -> list[CaseResult]:
    """Calibrated predictions whose logits are then scaled and shifted."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    calibrated = special.softmax(logits, axis=1)
    given = special.softmax(sharpness * (logits + np.array(favor)), axis=1)
    return [
        CaseResult(int(rng.choice(3, p=p)), (float(q[0]), float(q[1]), float(q[2])), NOTHING)
        for p, q in zip(calibrated, given, strict=True)
    ]


def confident(confidence: float, *, right: bool) -> CaseResult:
    rest = (1 - confidence) / 2
    return CaseResult(0 if right else 1, (confidence, rest, rest), NOTHING)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_corrects_overconfidence(sharpness: float) -> None:
    assert fit_calibration(predictions(sharpness)).temperature == pytest.approx(sharpness, rel=0.07)


def test_the_biases_correct_a_preferred_class() -> None:
    fitted = fit_calibration(predictions(1.5, favor=(0.8, 0.0, -0.8)), class_bias=True)

    assert fitted.temperature == pytest.approx(1.5, rel=0.07)
    assert fitted.class_bias == pytest.approx((-0.8, 0, 0.8), abs=0.1)
    assert sum(fitted.class_bias) == pytest.approx(0, abs=1e-3)


def test_calibration_lowers_the_calibration_error() -> None:
    overconfident = predictions(2.5, favor=(0.8, 0.0, -0.8))

    calibrated = apply_calibration(overconfident, fit_calibration(overconfident, class_bias=True))

    before, after = (
        score_cases(overconfident).classification,
        score_cases(calibrated).classification,
    )
    assert before.ece > 0.1
    assert after.ece < 0.03
    assert after.accuracy > before.accuracy


def test_temperature_scaling_does_not_change_predicted_classes() -> None:
    overconfident = predictions(2.5)

    calibrated = apply_calibration(overconfident, Calibration(2.5, (0.0, 0.0, 0.0)))

    assert (
        score_cases(calibrated).classification.confusion
        == score_cases(overconfident).classification.confusion
    )


def test_zero_probabilities_can_be_calibrated() -> None:
    sure = [CaseResult(0, (1.0, 0.0, 0.0), NOTHING), CaseResult(1, (1.0, 0.0, 0.0), NOTHING)]

    fitted = fit_calibration(sure, class_bias=True)

    assert np.isfinite([fitted.temperature, *fitted.class_bias]).all()


def test_the_threshold_is_the_lowest_that_reaches_the_target() -> None:
    given = [
        *[confident(0.9, right=True)] * 19,
        confident(0.9, right=False),
        *[confident(0.5, right=True)] * 5,
        *[confident(0.5, right=False)] * 5,
    ]

    fitted = find_confidence_threshold(given, 0.95)

    assert fitted.threshold == 0.9
    assert fitted.accuracy == pytest.approx(0.95)
    assert fitted.coverage == pytest.approx(20 / 30)


def test_the_threshold_is_zero_if_all_results_reach_the_target() -> None:
    fitted = find_confidence_threshold([confident(0.4, right=True)] * 3, 0.95)

    assert (fitted.threshold, fitted.coverage) == (0.0, 1.0)


def test_the_threshold_is_one_if_no_result_is_correct() -> None:
    fitted = find_confidence_threshold([confident(0.9, right=False)] * 3, 0.95)

    assert (fitted.threshold, fitted.coverage) == (1.0, 0.0)


def test_each_fold_is_measured_with_the_threshold_of_the_others() -> None:
    easy = [*[confident(0.6, right=True)] * 10, *[confident(0.9, right=True)] * 10]
    hard = [*[confident(0.6, right=False)] * 10, *[confident(0.9, right=True)] * 10]

    fitted = cross_validate_threshold([easy, hard], 0.95)

    assert fitted.held_out
    assert fitted.threshold == 0.9
    # The easy fold needs no threshold, so all 20 of the hard fold are decided; 10 of the easy one.
    assert fitted.coverage == pytest.approx(30 / 40)
    assert fitted.accuracy == pytest.approx(20 / 30)


def test_a_single_fold_is_measured_with_its_own_threshold() -> None:
    given = [confident(0.9, right=True)] * 3

    assert cross_validate_threshold([given], 0.95) == find_confidence_threshold(given, 0.95)
