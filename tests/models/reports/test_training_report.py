"""The report of a cross-validation, from the files that the folds saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.dataset import Sample
from models.data.images import read_rgb
from models.evaluation.metrics import HeatmapLocalization, Overlap
from models.recipe import Recipe, read_recipe
from models.reports import plots
from models.reports.error_analysis import MAX_TILES, draw_errors
from models.reports.page import Gallery
from models.reports.training_report import render_training_report, write_training_report
from models.training.cross_validation import (
    CrossValidation,
    TrainingRun,
    collect_results,
    cross_validate,
)
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    image_name,
    read_held_out,
    write_held_out,
)
from models.training.initial_weights import InitialWeights
from models.training.loss_history import write_losses
from models.training.predictions import load_sample_predictor
from models.training.run_directory import REPORT
from tests.models.conftest import write_phantoms

Small = Callable[..., Recipe]
LOSSES = {"losses": [2.0, 1.0], "validation_losses": [2.5, 1.5]}
ANSWERS = {3: ((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.3, 0.6)), 2: ((0.9, 0.1), (0.2, 0.8))}
TILE = "benign/3.png: benign, predicted <malignant>", "data:image/png;base64,AA=="
MISTAKES = Gallery([TILE], 9, "Left the frame.")
PLOTS = 5
"""The number of plots in the section on classification."""
NUMPY_2 = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


@pytest.fixture
def saved_folds(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write the held-out results of two folds of a recipe, and return the collected results."""

    def save(recipe: Recipe, names: str = "{}.png", **run: Any) -> dict[str, Any]:
        folds = {fold: outcomes(recipe, fold) for fold in range(2)}
        for fold, rows in folds.items():
            home = tmp_path / "folds" / f"fold-{fold}"
            home.mkdir(parents=True)
            write_held_out(home / HELD_OUT_FILE, rows, {"fold": fold, **(run or LOSSES)})
        samples = [
            Sample(Path(names.format(n)), x.label, (), n, fold)
            for fold, rows in folds.items()
            for n, x in enumerate(rows)
        ]
        validation = CrossValidation(folds, recipe.classes)
        return collect_results(recipe, validation, samples, initial_weights=InitialWeights())

    return save


def outcomes(recipe: Recipe, fold: int) -> list[HeldOutResult]:
    """Six images of each class, one of which is predicted as the next class."""
    classes, kind = len(recipe.classes), recipe.network.kind
    rows = []
    for label in range(classes):
        for number in range(6):
            held_out = ANSWERS[classes][(label + (number == 0)) % classes]
            lesion = Overlap(100 * min(label, 1), 80 * min(label, 1), 60 * min(label, 1))
            rows.append(
                HeldOutResult(
                    f"{label}/{number}.png", 100 * fold + 10 * label + number, label,
                    held_out if kind != "segmenter" else (), lesion if kind != "classifier" else None,
                )
            )  # fmt: skip
    return rows


def is_wrong(row: HeldOutResult) -> bool:
    if row.probabilities:
        return row.probabilities.index(max(row.probabilities)) != row.label
    return row.overlap is not None and row.overlap.dice < 1


def page_of(folder: Path, recipe: Recipe, results: dict[str, Any], *, leaks: bool = False) -> str:
    homes = {fold: folder / "folds" / f"fold-{fold}" for fold in results["held_out_folds"]}
    held_out = {fold: read_held_out(home / HELD_OUT_FILE)[0] for fold, home in homes.items()}
    rows = CrossValidation(held_out, recipe.classes).all_calibrated()
    return render_training_report(
        homes, rows, recipe, results, MISTAKES, data="phantoms & more", leaks=leaks
    )


def test_the_page_of_a_joint_recipe_is_complete_and_self_contained(
    small: Small, saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    results = saved_folds(recipe)

    page = page_of(tmp_path, recipe, results)

    assert page.count("<svg") == PLOTS + 2, "one plot of losses per fold"
    assert page.count("validation</text>") == 2
    assert "36 held-out images of phantoms &amp; more, folds 0, 1." in page
    assert "not a medical device" in page
    assert "not trained on it or a near-duplicate" in page
    low, high = results["held_out_intervals"]["accuracy"]
    row = f"Accuracy</th><td>0.833</td><td>{low:.3f} to {high:.3f}</td><td>0.833 ± 0.000</td>"
    assert row in page
    ece = results["held_out_pooled"]["classification"]["ece"]
    assert f"Expected calibration error: {ece:.3f}." in page
    assert "Geometric mean of recalls</th><td>0.833</td>" in page
    assert (
        "malignant</th><td>12</td><td>0.667</td><td>0.667</td><td>0.500</td><td>1.000</td>" in page
    )
    assert "predicted &lt;malignant&gt;</figcaption>" in page
    assert "<h2>The worst 1 of 9 errors</h2>" in page
    assert "Published" not in page
    assert "$" not in page
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('xlink:href="http', "")


@pytest.mark.parametrize(("kind", "classes"), [("classifier", True), ("segmenter", False)])
def test_sections_that_do_not_apply_are_omitted(
    small: Small,
    saved_folds: Callable[..., dict[str, Any]],
    tmp_path: Path,
    kind: str,
    classes: bool,
) -> None:
    recipe = small(kind)

    page = page_of(tmp_path, recipe, saved_folds(recipe))

    assert page.count("<svg") == (PLOTS if classes else 0) + 2
    for text, there in (
        *((text, classes) for text in ("<h2>Classification", ">Accuracy<", ">Cohen&#x27;s kappa<")),
        *((text, not classes) for text in ("<h2>Segmentation", ">Dice, images with a lesion<")),
    ):
        assert (text in page) == there, text


def test_a_leaking_split_is_marked(
    small: Small, saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("segmenter")

    page = page_of(tmp_path, recipe, saved_folds(recipe), leaks=True)

    assert "Data leakage: with protocol random" in page
    assert "not trained on it" not in page


def test_published_metrics_are_shown_at_their_magnification(
    saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = read_recipe("breakhis-attention-resnet50")

    page = page_of(tmp_path, recipe, saved_folds(recipe, "SOB_B_A-14-22549AB-100-{:03}.png"))

    assert "<td>0.833 ± 0.000</td><td>0.987 (100x)</td>" in page
    assert "Accuracy 40x</th><td>–</td><td>–</td><td>-</td><td>0.985</td>" in page
    assert "split: random, with the same patients in training and test data." in page
    assert "malignant</text>" in page
    assert "normal</text>" not in page, "two classes"


def test_published_metrics_that_are_not_measured_are_shown(
    saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = read_recipe("webapp-efficientnetb7")

    page = page_of(tmp_path, recipe, saved_folds(recipe))

    assert page.count("Recall of malignant</th>") == 1
    assert "Normal recall</th><td>0.833</td>" in page
    assert "<td>0.850</td></tr>" in page


def test_each_network_of_an_ensemble_has_a_loss_curve(
    small: Small, saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    results = saved_folds(recipe, losses=[])
    write_losses(tmp_path / "folds" / "fold-0", [[2.0, 1.0], [3.0, 2.0]])

    page = page_of(tmp_path, recipe, results)

    assert page.count("<svg") == PLOTS + 1, "the other fold has no saved losses"
    assert "network 1</text>" in page
    assert "network 2</text>" in page


def test_the_losses_section_is_omitted_without_losses(
    small: Small, saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("segmenter")

    page = page_of(tmp_path, recipe, saved_folds(recipe, losses=[]))

    assert "<svg" not in page
    assert "<h2>Training losses" not in page


@dataclass(frozen=True)
class FinishedRun:
    """A cross-validation that was run for the tests."""

    run: TrainingRun
    results: CrossValidation


@pytest.fixture(scope="module")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, small: Small
) -> Callable[..., FinishedRun]:
    """Cross-validate a recipe of a kind, once for all tests."""
    samples = write_phantoms(tmp_path_factory.mktemp("phantoms") / "data")

    @cache
    def finish(kind: str, folds: tuple[int, ...]) -> FinishedRun:
        home = tmp_path_factory.mktemp(kind)
        run = TrainingRun(small(kind), InitialWeights(), samples, home)
        return FinishedRun(run, cross_validate(run, folds))

    return finish


@pytest.mark.usefixtures("eager_execution")
@NUMPY_2
@pytest.mark.parametrize(
    ("kind", "folds"),
    [
        ("classifier", (1,)),
        pytest.param("joint", (1,), marks=pytest.mark.long),
        ("segmenter", (0, 1)),
    ],
)
def test_errors_are_drawn_by_the_network_that_was_not_trained_on_them(
    finished_run: Callable[..., FinishedRun], kind: str, folds: tuple[int, ...]
) -> None:
    finished = finished_run(kind, folds)
    run, samples = finished.run, finished.run.samples
    results = collect_results(
        run.recipe, finished.results, samples, initial_weights=InitialWeights()
    )

    file = write_training_report(
        run.directory, run.recipe, results, samples, data="phantoms & more", leaks=False
    )

    page = file.read_text(encoding="utf-8")
    wrong = {row.image for row in finished.results.all_calibrated() if is_wrong(row)}
    assert file == run.directory / REPORT
    assert wrong
    assert f"The worst {len(wrong)} of {len(wrong)} errors" in page
    assert page.count('<img src="data:image/png') == len(wrong)
    assert "Grad-CAM maximum inside the lesion</th>" in page
    for fold in folds:
        predict = load_sample_predictor(run.directory / "folds" / f"fold-{fold}", run.recipe)
        for sample in (x for x in samples if x.fold == fold and image_name(x) in wrong):
            (prediction,) = predict([sample])
            assert f"{image_name(sample)}: " in page
            tile = plots.render_tile(
                read_rgb(sample.image), sample.read()[1], prediction.mask, prediction.heatmap
            )
            assert tile in page


def test_errors_are_shown_without_a_prediction_if_the_network_cannot_be_read(
    samples: list[Sample], small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held_out = [x for x in samples if x.fold == 1]
    rows = [HeldOutResult(image_name(x), 0, x.label, (), Overlap(9, 9, 3)) for x in held_out]

    gallery = draw_errors({1: rows}, samples, {1: tmp_path / "fold-1"}, small("segmenter"))

    assert len(gallery.tiles) == gallery.total == len(held_out)
    assert all("network cannot be read" in caption for caption, _ in gallery.tiles)
    assert "fold-1: network cannot be read" in caplog.text


def test_the_worst_errors_of_all_folds_come_first_and_all_are_counted(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    rows: dict[int, list[HeldOutResult]] = {0: [], 1: []}
    many = []
    for number in range(MAX_TILES + 6):
        fold = number % 2
        many.append(replace(samples[number % 12], fold=fold))
        # No lesion was detected: the larger it is, the worse the error.
        missed = Overlap(100 + number, 0, 0)
        rows[fold].append(HeldOutResult(image_name(many[-1]), 0, 1, (), missed))
    rows[0].append(HeldOutResult("normal/9.png", 0, 0, (), Overlap(0, 999, 0)))
    many.append(Sample(samples[0].image.with_name("9.png"), 0, (), 0, 0))
    many[-1].image.write_bytes(samples[0].image.read_bytes())
    homes = {fold: tmp_path / str(fold) for fold in rows}

    gallery = draw_errors(rows, many, homes, small("segmenter"))

    assert (len(gallery.tiles), gallery.total) == (MAX_TILES, MAX_TILES + 7)
    assert gallery.tiles[0][0].startswith("normal/9.png: normal, false positive mask")
    assert "Dice 0.00" in gallery.tiles[1][0]


def test_two_images_with_the_same_name_are_not_confused(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    first, other = samples[:2]
    (tmp_path / "other" / "normal").mkdir(parents=True)
    twin = tmp_path / "other" / "normal" / first.image.name
    twin.write_bytes(other.image.read_bytes())
    pair = [replace(first, fold=0, masks=()), replace(first, image=twin, fold=1, masks=())]
    held_out = [HeldOutResult(image_name(x), 0, 0, (0.1, 0.2 + x.fold / 10, 0.7)) for x in pair]

    gallery = draw_errors(
        {0: held_out[:1], 1: held_out[1:]}, pair, {0: tmp_path, 1: tmp_path}, small("classifier")
    )

    nothing = np.zeros(first.read()[1].shape, np.bool_)
    assert [tile for _, tile in gallery.tiles] == [
        plots.render_tile(read_rgb(x.image), nothing) for x in pair
    ]


@pytest.mark.usefixtures("eager_execution")
@NUMPY_2
def test_the_caption_says_so_if_calibration_changed_the_predicted_class(
    finished_run: Callable[..., FinishedRun],
) -> None:
    finished = finished_run("classifier", (1,))
    run, result = finished.run, finished.results.folds[1][0]
    uncalibrated = result.probabilities.index(max(result.probabilities))
    other = next(k for k in range(3) if k not in (result.label, uncalibrated))
    calibrated = replace(result, probabilities=tuple(0.8 if k == other else 0.1 for k in range(3)))
    sample = next(x for x in run.samples if image_name(x) == result.image)

    gallery = draw_errors(
        {1: [calibrated]}, [sample], {1: run.directory / "folds" / "fold-1"}, run.recipe
    )

    ((caption, _),) = gallery.tiles
    name = run.recipe.classes[uncalibrated]
    assert caption.endswith(f"; Grad-CAM of {name}, the uncalibrated prediction")


def test_localization_is_not_scored_if_a_fold_has_no_heat_maps(
    small: Small, saved_folds: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    saved_folds(recipe)
    old, new = (tmp_path / "folds" / f"fold-{fold}" / HELD_OUT_FILE for fold in range(2))
    rows = json.loads(old.read_text())
    for row in rows["images"]:
        del row["localization"]
    old.write_text(json.dumps(rows))
    results = {0: read_held_out(old)[0], 1: read_held_out(new)[0]}
    results[1] = [
        replace(x, localization=HeatmapLocalization(0.5, peak_inside=True, lesion_area=0.1))
        for x in results[1]
    ]

    validation = CrossValidation(results, recipe.classes)

    assert "explanation" not in validation.pooled_metrics()
    assert not any("explanation" in report for report in validation.metrics_by_fold().values())
    assert "explanation" in CrossValidation({1: results[1]}, recipe.classes).pooled_metrics()
