import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from models.evaluation.evaluate import CaseResult, evaluate, score_cases
from models.evaluation.metrics import (
    HeatmapLocalization,
    Overlap,
    confusion_matrix,
    expected_calibration_error,
    gmean,
    kappa,
    mcc,
    pr_auc,
    roc_auc,
    score_classes,
    score_masks,
)
from models.types import FramePrediction

TRUE = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 1])


def confident(predicted: NDArray[np.int64], confidence: float = 0.8) -> NDArray[np.float64]:
    rest = (1 - confidence) / 2
    return np.where(np.eye(3, dtype=bool)[predicted], confidence, rest)


def test_the_confusion_matrix_has_true_classes_in_rows() -> None:
    assert confusion_matrix(TRUE, PREDICTED).tolist() == [[1, 1, 0], [0, 3, 1], [0, 1, 3]]


def test_class_metrics_match_a_manual_calculation() -> None:
    report = score_classes(TRUE, confident(PREDICTED))

    assert report.accuracy == pytest.approx(7 / 10)
    assert report.balanced_accuracy == pytest.approx((1 / 2 + 3 / 4 + 3 / 4) / 3)
    assert report.macro_precision == pytest.approx((1 + 3 / 5 + 3 / 4) / 3)
    benign = report.by_class["benign"]
    assert (benign.precision, benign.recall, benign.support) == (3 / 5, 3 / 4, 4)
    assert benign.f1 == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))


def test_macro_averages_leave_out_absent_classes() -> None:
    present = TRUE < 2

    report = score_classes(TRUE[present], confident(PREDICTED[present]))

    malignant = report.by_class["malignant"]
    assert malignant.support == 0
    assert all(math.isnan(x) for x in (malignant.precision, malignant.recall, malignant.f1))
    assert report.macro_recall == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert report.macro_f1 == pytest.approx((2 / 3 + 3 / 4) / 2)
    values = score_cases([CaseResult(0, (0.6, 0.2, 0.2), None)]).to_dict()
    assert values["classification"]["by_class"]["malignant"]["recall"] is None


def test_an_image_without_annotation_is_left_out_of_segmentation_metrics() -> None:
    def predict(frames: Sequence[NDArray[np.uint8]]) -> list[FramePrediction]:
        mask = np.ones((4, 4), np.bool_)
        return [FramePrediction((0.1, 0.8, 0.1), mask, np.zeros((4, 4), np.float32))] * len(frames)

    frame, lesion = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.bool_)

    report = evaluate(predict, [(frame, 1, lesion), (frame, 1, None)])

    assert report.classification.images == 2
    assert report.segmentation.images_with_lesion == 1
    assert report.segmentation.images_without_lesion == 0


def test_mcc_of_two_classes_is_the_textbook_one() -> None:
    # 6 true negatives, 2 false positives, 1 false negative, 3 true positives
    table = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])

    assert mcc(table) == pytest.approx((6 * 3 - 2 * 1) / math.sqrt(8 * 7 * 5 * 4))


def test_mcc_of_three_classes_matches_a_hand_count() -> None:
    # 7 of 10 are correct; true 2, 4, 4; predicted 1, 5, 4
    assert mcc(confusion_matrix(TRUE, PREDICTED)) == pytest.approx(
        (7 * 10 - (2 + 20 + 16)) / math.sqrt((100 - 36) * (100 - 42))
    )


def test_mcc_of_a_constant_prediction_is_zero() -> None:
    assert mcc(confusion_matrix(TRUE, np.ones_like(TRUE))) == 0


def test_kappa_is_the_agreement_beyond_chance() -> None:
    # 7 of 10 are correct; by chance (2 * 1 + 4 * 5 + 4 * 4) of 100
    table = confusion_matrix(TRUE, PREDICTED)

    assert kappa(table) == pytest.approx((0.7 - 0.38) / (1 - 0.38))
    assert kappa(table) == pytest.approx(metrics.cohen_kappa_score(TRUE, PREDICTED))
    assert math.isnan(kappa(confusion_matrix(np.ones(3, int), np.ones(3, int))))


def test_gmean_is_the_geometric_mean_of_the_recalls_of_the_classes_there_are() -> None:
    assert gmean(confusion_matrix(TRUE, PREDICTED)) == pytest.approx(
        (1 / 2 * 3 / 4 * 3 / 4) ** (1 / 3)
    )
    # For two classes: the square root of sensitivity times specificity.
    assert gmean(np.array([[6, 2], [1, 3]])) == pytest.approx(math.sqrt(6 / 8 * 3 / 4))
    assert gmean(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])) == gmean(np.array([[6, 2], [1, 3]]))
    assert gmean(np.array([[4, 0], [4, 0]])) == 0, "a class that is never predicted"


def test_a_report_holds_gmean_and_kappa() -> None:
    report, table = score_classes(TRUE, confident(PREDICTED)), confusion_matrix(TRUE, PREDICTED)

    assert (report.gmean, report.kappa) == (gmean(table), kappa(table))


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


def test_pr_auc_uses_one_threshold_for_equal_scores() -> None:
    assert pr_auc(np.array([True, False, False, True]), np.ones(4)) == pytest.approx(0.5)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error(TRUE, confident(PREDICTED, 0.75)) == pytest.approx(0.05)
    assert expected_calibration_error(TRUE, confident(TRUE, 1.0)) == 0


def test_overlap_metrics_match_a_manual_calculation() -> None:
    truth, predicted = np.zeros((4, 5), np.bool_), np.zeros((4, 5), np.bool_)
    truth[0:2, 0:3] = True
    predicted[1:3, 0:2] = True

    overlap = Overlap.from_masks(truth, predicted)

    assert overlap == Overlap(6, 4, 2)
    assert overlap.dice == pytest.approx(4 / 10)
    assert overlap.iou == pytest.approx(2 / 8)


def test_masks_are_scored_apart_for_images_with_and_without_lesion() -> None:
    report = score_masks(
        [Overlap(10, 10, 10), Overlap(10, 0, 0), Overlap(0, 0, 0), Overlap(0, 5, 0)]
    )

    assert (report.images_with_lesion, report.dice, report.detection_rate) == (2, 0.5, 0.5)
    assert (report.images_without_lesion, report.normal_without_mask) == (2, 0.5)


def test_evaluate_accepts_a_function_and_returns_json_values() -> None:
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


def test_localization_is_measured_inside_the_lesion() -> None:
    lesion = np.zeros((4, 5), np.bool_)
    lesion[1:3, 1:3] = True
    heatmap = np.full((4, 5), 0.25, np.float32)
    heatmap[2, 2] = 1

    heat = HeatmapLocalization.from_heatmap(heatmap, lesion)

    assert heat == HeatmapLocalization(energy_inside=1.75 / 5.75, peak_inside=True, lesion_area=0.2)
    assert HeatmapLocalization.from_heatmap(heatmap, ~lesion) == HeatmapLocalization(
        4 / 5.75, peak_inside=False, lesion_area=0.8
    )
    assert HeatmapLocalization.from_heatmap(np.zeros_like(heatmap), lesion) == HeatmapLocalization(
        0, peak_inside=False, lesion_area=0.2
    )
    assert HeatmapLocalization.from_heatmap(heatmap, np.zeros_like(lesion)) is None, (
        "nothing to be found"
    )
