import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import (
    Overlap,
    confusion,
    evaluate,
    expected_calibration_error,
    mcc,
    pr_auc,
    roc_auc,
    score_classes,
    score_masks,
)
from models.types import FramePrediction

TRUE = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
SAID = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 1])


def sure(said: NDArray[np.int64], confidence: float = 0.8) -> NDArray[np.float64]:
    rest = (1 - confidence) / 2
    return np.where(np.eye(3, dtype=bool)[said], confidence, rest)


def test_confusion_has_truth_in_rows() -> None:
    assert confusion(TRUE, SAID).tolist() == [[1, 1, 0], [0, 3, 1], [0, 1, 3]]


def test_class_figures_match_a_hand_count() -> None:
    report = score_classes(TRUE, sure(SAID))

    assert report.accuracy == pytest.approx(7 / 10)
    assert report.balanced_accuracy == pytest.approx((1 / 2 + 3 / 4 + 3 / 4) / 3)
    assert report.macro_precision == pytest.approx((1 + 3 / 5 + 3 / 4) / 3)
    benign = report.by_class["benign"]
    assert (benign.precision, benign.recall, benign.support) == (3 / 5, 3 / 4, 4)
    assert benign.f1 == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))


def test_mcc_of_two_classes_is_the_textbook_one() -> None:
    # 6 true negatives, 2 false positives, 1 false negative, 3 true positives
    table = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])

    assert mcc(table) == pytest.approx((6 * 3 - 2 * 1) / math.sqrt(8 * 7 * 5 * 4))


def test_mcc_of_three_classes_matches_a_hand_count() -> None:
    # 7 right of 10; truth 2, 4, 4; said 1, 5, 4
    assert mcc(confusion(TRUE, SAID)) == pytest.approx(
        (7 * 10 - (2 + 20 + 16)) / math.sqrt((100 - 36) * (100 - 42))
    )


def test_mcc_of_one_answer_for_all_is_zero() -> None:
    assert mcc(confusion(TRUE, np.ones_like(TRUE))) == 0


def test_roc_auc_counts_pairs_in_order_and_ties_half() -> None:
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.4, 0.4, 0.3, 0.6])

    assert roc_auc(positive, score) == pytest.approx((3 + 0.5 + 1) / 6)
    assert math.isnan(roc_auc(np.ones(5, bool), score))


def test_pr_auc_is_the_average_precision() -> None:
    positive = np.array([False, False, True, True])
    score = np.array([0.1, 0.4, 0.35, 0.8])

    assert pr_auc(positive, score) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert math.isnan(pr_auc(np.zeros(4, bool), score))


def test_pr_auc_takes_equal_scores_as_one_threshold() -> None:
    assert pr_auc(np.array([True, False, False, True]), np.ones(4)) == pytest.approx(0.5)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error(TRUE, sure(SAID, 0.75)) == pytest.approx(0.05)
    assert expected_calibration_error(TRUE, sure(TRUE, 1.0)) == 0


def test_overlap_figures_match_a_hand_count() -> None:
    truth, said = np.zeros((4, 5), np.bool_), np.zeros((4, 5), np.bool_)
    truth[0:2, 0:3] = True
    said[1:3, 0:2] = True

    overlap = Overlap.of(truth, said)

    assert overlap == Overlap(6, 4, 2)
    assert overlap.dice == pytest.approx(4 / 10)
    assert overlap.iou == pytest.approx(2 / 8)


def test_masks_are_scored_apart_for_images_with_and_without_lesion() -> None:
    report = score_masks(
        [Overlap(10, 10, 10), Overlap(10, 0, 0), Overlap(0, 0, 0), Overlap(0, 5, 0)]
    )

    assert (report.images_with_lesion, report.dice, report.found) == (2, 0.5, 0.5)
    assert (report.images_without_lesion, report.normal_without_mask) == (2, 0.5)


def test_evaluate_takes_any_function_and_speaks_json() -> None:
    frames = [np.full((4, 6), value, np.uint8) for value in range(40)]

    def predict(batch: Sequence[NDArray[np.uint8]]) -> list[FramePrediction]:
        return [
            FramePrediction((0.1, 0.8, 0.1), frame > 20, frame.astype(np.float32))
            for frame in batch
        ]

    lesion = np.ones((4, 6), np.bool_)
    report = evaluate(predict, ((frame, 1, lesion) for frame in frames))

    assert report.classification.accuracy == 1
    assert report.segmentation.dice == pytest.approx(19 / 40)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["segmentation"]["normal_without_mask"] is None
    assert values["classification"]["images"] == 40
