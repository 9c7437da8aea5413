from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from models.data.dataset import Sample
from models.evaluation.detailed_metrics import (
    classification_metrics,
    headline_metrics,
    headline_with_intervals,
    localization_metrics,
    risk_coverage,
    segmentation_metrics,
)
from models.evaluation.evaluated_images import EvaluatedImage
from models.evaluation.metrics import HeatmapLocalization, Overlap, recall_at_specificity

SURE = {0: (0.8, 0.1, 0.1), 1: (0.1, 0.8, 0.1), 2: (0.1, 0.1, 0.8)}


def image_result(
    label: int,
    predicted: int,
    *,
    group: int = 0,
    true_px: int = 100,
    both_px: int = 80,
    annotated: bool = True,
) -> EvaluatedImage:
    true_px, both_px = (true_px, both_px) if label else (0, 0)
    sample = Sample(Path(f"{label} ({group}).png"), label, (), group, 0, annotated)
    overlap = Overlap(true_px, both_px, both_px) if annotated else Overlap(0, both_px, 0)
    localization = HeatmapLocalization(0.6, label == predicted, 0.1) if label else None
    return EvaluatedImage(sample, SURE[predicted], overlap, 1000, 45.0, 4.5, localization)


@pytest.fixture
def rows() -> list[EvaluatedImage]:
    rng = np.random.default_rng(0)
    predictions = [
        (k, k if rng.random() < 0.7 else int(rng.integers(3))) for k in [0, 1, 1, 2] * 15
    ]
    return [
        image_result(label, predicted, group=n // 2, true_px=int(rng.integers(100, 400)))
        for n, (label, predicted) in enumerate(predictions)
    ]


def test_metrics_agree_with_scikit_learn(rows: list[EvaluatedImage]) -> None:
    truth, predictions = [row.label for row in rows], [row.predicted for row in rows]

    short, long = headline_metrics(rows), classification_metrics(rows)

    for name, value in {
        "accuracy": metrics.accuracy_score(truth, predictions),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predictions),
        "mcc": metrics.matthews_corrcoef(truth, predictions),
        "macro_f1": metrics.f1_score(truth, predictions, average="macro"),
    }.items():
        assert short[name] == pytest.approx(value)
        assert long[name] == pytest.approx(value)
    assert long["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, predictions))
    recalls = [long["by_class"][name]["recall"] for name in ("normal", "benign", "malignant")]
    assert long["gmean"] == pytest.approx(np.prod(recalls) ** (1 / 3))
    assert sum(map(sum, long["confusion"])) == 60


def test_recall_is_the_highest_at_the_given_specificity() -> None:
    positive = np.array([True] * 4 + [False] * 10)
    score = np.array([0.9, 0.8, 0.6, 0.1, *np.linspace(0, 0.5, 9), 0.7])

    assert recall_at_specificity(positive, score, 0.9) == pytest.approx(3 / 4)
    assert recall_at_specificity(positive, score, 1.0) == pytest.approx(2 / 4)
    assert np.isnan(recall_at_specificity(positive[:4], score[:4]))


def test_risk_is_the_error_rate_at_each_coverage() -> None:
    labels = np.array([0, 0, 0, 0])
    sure = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.4, 0.6, 0]])

    curve = risk_coverage(labels, sure)

    assert curve["coverage"] == [0.25, 0.5, 0.75, 1]
    assert curve["risk"] == pytest.approx([0, 0, 1 / 3, 2 / 4])
    assert curve["aurc"] == pytest.approx((1 / 3 + 2 / 4) / 4)


def test_intervals_contain_the_metric_and_near_duplicates_widen_them(
    rows: list[EvaluatedImage],
) -> None:
    alone = [image_result(x.label, x.predicted, group=n) for n, x in enumerate(rows)]
    twins = [image_result(x.label, x.predicted, group=n // 10) for n, x in enumerate(sorted(
        rows, key=lambda row: row.label == row.predicted
    ))]  # fmt: skip

    narrow, wide = (headline_with_intervals(x, resamples=200)["accuracy"] for x in (alone, twins))

    for each in (narrow, wide):
        assert each["low"] is not None
        assert each["high"] is not None
        assert each["value"] is not None
        assert each["low"] < each["value"] < each["high"]
    assert (wide["high"] or 0) - (wide["low"] or 0) > (narrow["high"] or 0) - (narrow["low"] or 0)


def test_mask_metrics_are_given_by_class_and_size(rows: list[EvaluatedImage]) -> None:
    values = segmentation_metrics(rows)

    assert values["all"]["images"] == 45
    assert {name: x["images"] for name, x in values["by_class"].items()} == {
        "benign": 30,
        "malignant": 15,
    }
    assert sum(x["images"] for x in values["by_size"].values()) == 45
    # 80 pixels of each lesion are predicted, a smaller share of larger lesions.
    sizes = [
        values["by_size"][f"{name} third"]["dice"] for name in ("smallest", "middle", "largest")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert values["all"]["hd95_share_of_diagonal"] == pytest.approx(0.1)
    assert values["normal_without_mask"] == 1


def test_localization_is_averaged_over_images_with_a_lesion() -> None:
    values = localization_metrics([image_result(1, 1), image_result(2, 1), image_result(0, 0)])

    assert values["energy_inside_lesion"] == pytest.approx(0.6)
    assert values["pointing_game"] == pytest.approx(0.5)
    assert values["lesion_area_share"] == pytest.approx(0.1)


def test_the_metrics_of_an_absent_class_are_undefined() -> None:
    rows = [image_result(0, 0), image_result(1, 2, group=1), image_result(1, 1, group=2)]

    values, short = classification_metrics(rows), headline_with_intervals(rows, resamples=20)

    absent = values["by_class"]["malignant"]
    assert absent == {"support": 0} | dict.fromkeys(
        ("precision", "recall", "f1", "roc_auc", "pr_auc")
    )
    assert short["malignant_recall"] == {"value": None, "low": None, "high": None}
    assert values["macro_recall"] == pytest.approx((1 + 1 / 2) / 2)


def test_kappa_is_undefined_for_a_single_class() -> None:
    values = classification_metrics([image_result(1, 1), image_result(1, 1)])

    assert np.isnan(values["kappa"])
    assert values["accuracy"] == 1
    assert values["by_class"]["benign"]["roc_auc"] is None


def test_an_image_without_annotation_does_not_count_as_lesion_free() -> None:
    rows = [image_result(0, 0), image_result(1, 1), image_result(1, 1, annotated=False)]

    values = segmentation_metrics(rows)

    assert (values["all"]["images"], values["images_without_lesion"]) == (1, 1)
    assert (
        headline_metrics(rows)["normal_without_mask"]
        == headline_metrics(rows[:2])["normal_without_mask"]
        == 1
    )
