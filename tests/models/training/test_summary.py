import json
from pathlib import Path

import pytest

from models.recipe import read_recipe
from models.training.summary import format_spread, format_table, summarize_folds, write_summary


def test_mean_and_sd_are_over_the_folds_that_have_a_metric() -> None:
    spread = summarize_folds([{"accuracy": 0.8, "dice": 0.5}, {"accuracy": 0.9}])

    assert spread["accuracy"] == pytest.approx({"mean": 0.85, "sd": 0.0707}, abs=1e-4)
    assert spread["dice"] == {"mean": 0.5, "sd": None}
    assert format_spread(spread["accuracy"]) == "0.850 ± 0.071"
    assert format_spread(spread["dice"]) == "0.500"
    assert format_spread(None) == "-"


def test_the_table_shows_published_and_measured_metrics() -> None:
    facts = {"held_out_spread": summarize_folds([{"accuracy": 0.75, "mcc": 0.6, "ece": 0.1}])}

    lines = [line.split() for line in format_table(read_recipe("mobilenetv2-transfer"), facts)]

    assert ["accuracy", "0.820", "0.750"] in lines
    assert ["macro_recall", "0.810", "-"] in lines, "published, not measured"
    assert ["ece", "-", "0.100"] in lines, "measured, not published"


@pytest.mark.parametrize(
    ("magnification", "published", "others"), [(40, "0.985", "100x"), (100, "0.987", "40x")]
)
def test_published_metrics_are_compared_at_the_same_magnification(
    magnification: int, published: str, others: str
) -> None:
    spread = summarize_folds([{"accuracy": 0.75, "gmean": 0.6, "kappa": 0.5}])
    facts = {"held_out_spread": spread, "magnification": magnification}

    lines = [
        line.split() for line in format_table(read_recipe("breakhis-attention-resnet50"), facts)
    ]

    assert [f"accuracy_{magnification}x", published, "0.750"] in lines
    assert [line for line in lines if line[0] == "accuracy"] == [], "not listed twice"
    assert [line[2] for line in lines if line[0] == f"accuracy_{others}"] == ["-"]
    assert ["gmean", "-", "0.600"] in lines
    assert ["kappa", "-", "0.500"] in lines


def test_images_of_unknown_magnification_are_not_compared() -> None:
    facts = {"held_out_spread": summarize_folds([{"accuracy": 0.75}]), "magnification": None}

    lines = [
        line.split() for line in format_table(read_recipe("breakhis-attention-resnet50"), facts)
    ]

    assert ["accuracy_40x", "0.985", "-"] in lines
    assert ["accuracy", "-", "0.750"] in lines


def test_the_table_has_no_published_column_without_a_publication() -> None:
    facts = {"held_out_spread": summarize_folds([{"accuracy": 0.75}])}

    assert "published" not in next(format_table(read_recipe("default"), facts))


def test_the_summary_says_whether_the_protocol_leaks(tmp_path: Path) -> None:
    recipe = read_recipe("mobilenetv2-transfer")

    for protocol, leaks in (("random", True), ("grouped", False)):
        file = write_summary(tmp_path, recipe, {}, protocol=protocol, requested_weights="random")
        assert json.loads(file.read_text())["leaks"] is leaks
