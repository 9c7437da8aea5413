from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from models.assessment.figures import (
    classification,
    explanation,
    headline,
    risk_coverage,
    segmentation,
    with_intervals,
)
from models.assessment.judged import Judged
from models.evaluation import Heat, Overlap, recall_at_specificity
from models.training.dataset import Sample

SURE = {0: (0.8, 0.1, 0.1), 1: (0.1, 0.8, 0.1), 2: (0.1, 0.1, 0.8)}


def judged(
    label: int,
    answer: int,
    *,
    group: int = 0,
    true_px: int = 100,
    both_px: int = 80,
    outlined: bool = True,
) -> Judged:
    true_px, both_px = (true_px, both_px) if label else (0, 0)
    sample = Sample(Path(f"{label} ({group}).png"), label, (), group, 0, outlined)
    overlap = Overlap(true_px, both_px, both_px) if outlined else Overlap(0, both_px, 0)
    heat = Heat(0.6, label == answer, 0.1) if label else None
    return Judged(sample, SURE[answer], overlap, 1000, 45.0, 4.5, heat)


@pytest.fixture
def rows() -> list[Judged]:
    rng = np.random.default_rng(0)
    answers = [(k, k if rng.random() < 0.7 else int(rng.integers(3))) for k in [0, 1, 1, 2] * 15]
    return [
        judged(label, answer, group=n // 2, true_px=int(rng.integers(100, 400)))
        for n, (label, answer) in enumerate(answers)
    ]


def test_the_figures_are_those_of_scikit_learn(rows: list[Judged]) -> None:
    truth, answers = [row.label for row in rows], [row.predicted for row in rows]

    short, long = headline(rows), classification(rows)

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


def test_an_interval_holds_its_figure_and_twins_make_it_wider(rows: list[Judged]) -> None:
    alone = [judged(x.label, x.predicted, group=n) for n, x in enumerate(rows)]
    twins = [judged(x.label, x.predicted, group=n // 10) for n, x in enumerate(sorted(
        rows, key=lambda row: row.label == row.predicted
    ))]  # fmt: skip

    narrow, wide = (with_intervals(x, resamples=200)["accuracy"] for x in (alone, twins))

    for each in (narrow, wide):
        assert each["low"] is not None
        assert each["high"] is not None
        assert each["value"] is not None
        assert each["low"] < each["value"] < each["high"]
    assert (wide["high"] or 0) - (wide["low"] or 0) > (narrow["high"] or 0) - (narrow["low"] or 0)


def test_masks_are_told_by_class_and_by_size(rows: list[Judged]) -> None:
    told = segmentation(rows)

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
    told = explanation([judged(1, 1), judged(2, 1), judged(0, 0)])

    assert told["energy_inside_lesion"] == pytest.approx(0.6)
    assert told["pointing_game"] == pytest.approx(0.5)
    assert told["lesion_area_share"] == pytest.approx(0.1)


def test_a_class_that_no_image_is_of_has_no_figures() -> None:
    rows = [judged(0, 0), judged(1, 2, group=1), judged(1, 1, group=2)]

    told, short = classification(rows), with_intervals(rows, resamples=20)

    absent = told["by_class"]["malignant"]
    assert absent == {"support": 0} | dict.fromkeys(
        ("precision", "recall", "f1", "roc_auc", "pr_auc")
    )
    assert short["malignant_recall"] == {"value": None, "low": None, "high": None}
    assert told["macro_recall"] == pytest.approx((1 + 1 / 2) / 2)


def test_images_all_of_one_class_leave_no_room_for_chance() -> None:
    told = classification([judged(1, 1), judged(1, 1)])

    assert np.isnan(told["kappa"])
    assert told["accuracy"] == 1
    assert told["by_class"]["benign"]["roc_auc"] is None


def test_an_image_whose_outline_nobody_knows_is_no_image_without_a_lesion() -> None:
    rows = [judged(0, 0), judged(1, 1), judged(1, 1, outlined=False)]

    told = segmentation(rows)

    assert (told["all"]["images"], told["images_without_lesion"]) == (1, 1)
    assert headline(rows)["normal_without_mask"] == headline(rows[:2])["normal_without_mask"] == 1
