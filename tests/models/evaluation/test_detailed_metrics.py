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
from models.evaluation.image_results import ImageResult
from models.evaluation.metrics import HeatmapLocalization, Overlap, recall_at_specificity

SURE = {0: (0.8, 0.1, 0.1), 1: (0.1, 0.8, 0.1), 2: (0.1, 0.1, 0.8)}


def image_result(
    label: int,
    answer: int,
    *,
    group: int = 0,
    true_px: int = 100,
    both_px: int = 80,
    annotated: bool = True,
) -> ImageResult:
    true_px, both_px = (true_px, both_px) if label else (0, 0)
    sample = Sample(Path(f"{label} ({group}).png"), label, (), group, 0, annotated)
    overlap = Overlap(true_px, both_px, both_px) if annotated else Overlap(0, both_px, 0)
    heat = HeatmapLocalization(0.6, label == answer, 0.1) if label else None
    return ImageResult(sample, SURE[answer], overlap, 1000, 45.0, 4.5, heat)


@pytest.fixture
def rows() -> list[ImageResult]:
    rng = np.random.default_rng(0)
    answers = [(k, k if rng.random() < 0.7 else int(rng.integers(3))) for k in [0, 1, 1, 2] * 15]
    return [
        image_result(label, answer, group=n // 2, true_px=int(rng.integers(100, 400)))
        for n, (label, answer) in enumerate(answers)
    ]


def test_the_figures_are_those_of_scikit_learn(rows: list[ImageResult]) -> None:
    truth, answers = [row.label for row in rows], [row.predicted for row in rows]

    short, long = headline_metrics(rows), classification_metrics(rows)

    for name, value in {
        "accuracy": metrics.accuracy_score(truth, answers),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, answers),
        "mcc": metrics.matthews_corrcoef(truth, answers),
        "macro_f1": metrics.f1_score(truth, answers, average="macro"),
    }.items():
        assert short[name] == pytest.approx(value)
        assert long[name] == pytest.approx(value)
    assert long["kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, answers))
    recalls = [long["by_class"][name]["recall"] for name in ("normal", "benign", "malignant")]
    assert long["gmean"] == pytest.approx(np.prod(recalls) ** (1 / 3))
    assert sum(map(sum, long["confusion"])) == 60


def test_recall_is_the_best_that_keeps_the_specificity() -> None:
    positive = np.array([True] * 4 + [False] * 10)
    score = np.array([0.9, 0.8, 0.6, 0.1, *np.linspace(0, 0.5, 9), 0.7])

    assert recall_at_specificity(positive, score, 0.9) == pytest.approx(3 / 4)
    assert recall_at_specificity(positive, score, 1.0) == pytest.approx(2 / 4)
    assert np.isnan(recall_at_specificity(positive[:4], score[:4]))


def test_answering_only_when_sure_is_told_as_a_curve() -> None:
    labels = np.array([0, 0, 0, 0])
    sure = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.4, 0.6, 0]])

    curve = risk_coverage(labels, sure)

    assert curve["coverage"] == [0.25, 0.5, 0.75, 1]
    assert curve["risk"] == pytest.approx([0, 0, 1 / 3, 2 / 4])
    assert curve["aurc"] == pytest.approx((1 / 3 + 2 / 4) / 4)


def test_an_interval_holds_its_figure_and_twins_make_it_wider(rows: list[ImageResult]) -> None:
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


def test_masks_are_told_by_class_and_by_size(rows: list[ImageResult]) -> None:
    told = segmentation_metrics(rows)

    assert told["all"]["images"] == 45
    assert {name: x["images"] for name, x in told["by_class"].items()} == {
        "benign": 30,
        "malignant": 15,
    }
    assert sum(x["images"] for x in told["by_size"].values()) == 45
    # The same 80 pixels are found of each lesion: the larger, the less of it.
    sizes = [told["by_size"][f"{name} third"]["dice"] for name in ("smallest", "middle", "largest")]
    assert sizes == sorted(sizes, reverse=True)
    assert told["all"]["hd95_share_of_diagonal"] == pytest.approx(0.1)
    assert told["normal_without_mask"] == 1


def test_what_grad_cam_looks_at_stands_beside_what_chance_would_give() -> None:
    told = localization_metrics([image_result(1, 1), image_result(2, 1), image_result(0, 0)])

    assert told["energy_inside_lesion"] == pytest.approx(0.6)
    assert told["pointing_game"] == pytest.approx(0.5)
    assert told["lesion_area_share"] == pytest.approx(0.1)


def test_a_class_that_no_image_is_of_has_no_figures() -> None:
    rows = [image_result(0, 0), image_result(1, 2, group=1), image_result(1, 1, group=2)]

    told, short = classification_metrics(rows), headline_with_intervals(rows, resamples=20)

    absent = told["by_class"]["malignant"]
    assert absent == {"support": 0} | dict.fromkeys(
        ("precision", "recall", "f1", "roc_auc", "pr_auc")
    )
    assert short["malignant_recall"] == {"value": None, "low": None, "high": None}
    assert told["macro_recall"] == pytest.approx((1 + 1 / 2) / 2)


def test_images_all_of_one_class_leave_no_room_for_chance() -> None:
    told = classification_metrics([image_result(1, 1), image_result(1, 1)])

    assert np.isnan(told["kappa"])
    assert told["accuracy"] == 1
    assert told["by_class"]["benign"]["roc_auc"] is None


def test_an_image_whose_outline_nobody_knows_is_no_image_without_a_lesion() -> None:
    rows = [image_result(0, 0), image_result(1, 1), image_result(1, 1, annotated=False)]

    told = segmentation_metrics(rows)

    assert (told["all"]["images"], told["images_without_lesion"]) == (1, 1)
    assert (
        headline_metrics(rows)["normal_without_mask"]
        == headline_metrics(rows[:2])["normal_without_mask"]
        == 1
    )
