"""The page of a training, from what folds leave on disk; no network is trained for it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.assessment import plots
from models.assessment.mistakes import SHOWN, draw_mistakes
from models.assessment.page import Gallery
from models.assessment.training_report import render_training, write_training_report
from models.evaluation import Heat, Overlap
from models.recipe import Recipe, read_recipe
from models.training.answers import asker_of
from models.training.claim import REPORT
from models.training.cross_validation import (
    OUTCOMES,
    CrossValidation,
    Plan,
    cross_validate,
    facts,
)
from models.training.dataset import Sample
from models.training.loss_history import write_losses
from models.training.outcomes import ImageOutcome, image_name, read_outcomes, write_outcomes
from models.training.pictures import read_rgb
from models.training.start import Start

Small = Callable[..., Recipe]
COURSE = {"losses": [2.0, 1.0], "validation_losses": [2.5, 1.5]}
ANSWERS = {3: ((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.3, 0.6)), 2: ((0.9, 0.1), (0.2, 0.8))}
TILE = "benign/3.png: benign, taken for <malignant>", "data:image/png;base64,AA=="
MISTAKES = Gallery([TILE], 9, "Left the frame.")
PLOTS = 5
"""Of the section on classes."""
NUMPY_2 = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


@pytest.fixture
def left(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Leave behind what a recipe's training on two folds would, and return the facts of it."""

    def leave(recipe: Recipe, names: str = "{}.png", **told: Any) -> dict[str, Any]:
        folds = {fold: outcomes(recipe, fold) for fold in range(2)}
        for fold, rows in folds.items():
            home = tmp_path / "folds" / f"fold-{fold}"
            home.mkdir(parents=True)
            write_outcomes(home / OUTCOMES, rows, {"fold": fold, **(told or COURSE)})
        samples = [
            Sample(Path(names.format(n)), x.label, (), n, fold)
            for fold, rows in folds.items()
            for n, x in enumerate(rows)
        ]
        checked = CrossValidation(folds, recipe.classes)
        return facts(recipe, checked, samples, start=Start())

    return leave


def outcomes(recipe: Recipe, fold: int) -> list[ImageOutcome]:
    """Six images of each class, of which one is taken for the next class."""
    classes, kind = len(recipe.classes), recipe.network.kind
    rows = []
    for label in range(classes):
        for number in range(6):
            said = ANSWERS[classes][(label + (number == 0)) % classes]
            lesion = Overlap(100 * min(label, 1), 80 * min(label, 1), 60 * min(label, 1))
            rows.append(
                ImageOutcome(
                    f"{label}/{number}.png", 100 * fold + 10 * label + number, label,
                    said if kind != "segmenter" else (), lesion if kind != "classifier" else None,
                )
            )  # fmt: skip
    return rows


def is_wrong(row: ImageOutcome) -> bool:
    if row.probabilities:
        return row.probabilities.index(max(row.probabilities)) != row.label
    return row.overlap is not None and row.overlap.dice < 1


def page_of(folder: Path, recipe: Recipe, told: dict[str, Any], *, leaks: bool = False) -> str:
    homes = {fold: folder / "folds" / f"fold-{fold}" for fold in told["held_out_folds"]}
    said = {fold: read_outcomes(home / OUTCOMES)[0] for fold, home in homes.items()}
    rows = CrossValidation(said, recipe.classes).outcomes()
    return render_training(homes, rows, recipe, told, MISTAKES, data="phantoms & more", leaks=leaks)


def test_a_page_of_both_questions_holds_all_and_needs_nothing_else(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    told = left(recipe)

    page = page_of(tmp_path, recipe, told)

    assert page.count("<svg") == PLOTS + 2, "one training a fold"
    assert page.count("set aside</text>") == 2
    assert "36 images of phantoms &amp; more were held out in turn, fold 0, 1." in page
    assert "not a medical device" in page
    assert "seen neither it nor a near-duplicate" in page
    low, high = told["held_out_intervals"]["accuracy"]
    row = f"Accuracy</th><td>0.833</td><td>{low:.3f} to {high:.3f}</td><td>0.833 ± 0.000</td>"
    assert row in page
    ece = told["held_out_pooled"]["classification"]["ece"]
    assert f"Expected calibration error: {ece:.3f}." in page
    assert "Geometric mean of the recalls</th><td>0.833</td>" in page
    assert (
        "malignant</th><td>12</td><td>0.667</td><td>0.667</td><td>0.500</td><td>1.000</td>" in page
    )
    assert "taken for &lt;malignant&gt;</figcaption>" in page
    assert "<h2>The worst 1 of 9 mistakes</h2>" in page
    assert "Published" not in page
    assert "$" not in page
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('xlink:href="http', "")


@pytest.mark.parametrize(("kind", "classes"), [("classifier", True), ("segmenter", False)])
def test_what_a_recipe_does_not_do_is_left_out(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path, kind: str, classes: bool
) -> None:
    recipe = small(kind)

    page = page_of(tmp_path, recipe, left(recipe))

    assert page.count("<svg") == (PLOTS if classes else 0) + 2
    for text, there in (
        *((text, classes) for text in ("<h2>Classes", ">Accuracy<", ">Cohen&#x27;s kappa<")),
        *((text, not classes) for text in ("<h2>Outlines", ">Dice, images with a lesion<")),
    ):
        assert (text in page) == there, text


def test_a_split_that_leaks_says_so(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("segmenter")

    page = page_of(tmp_path, recipe, left(recipe), leaks=True)

    assert "protocol random LEAKS" in page
    assert "seen neither it" not in page


def test_published_figures_stand_beside_those_of_their_magnification(
    left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = read_recipe("breakhis-attention-resnet50")

    page = page_of(tmp_path, recipe, left(recipe, "SOB_B_A-14-22549AB-100-{:03}.png"))

    assert "<td>0.833 ± 0.000</td><td>0.987 (100x)</td>" in page
    assert "Accuracy 40x</th><td>–</td><td>–</td><td>-</td><td>0.985</td>" in page
    assert "its split: random, patients on both sides." in page
    assert "malignant</text>" in page
    assert "normal</text>" not in page, "two classes"


def test_a_published_figure_that_is_not_measured_is_told_too(
    left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = read_recipe("webapp-efficientnetb7")

    page = page_of(tmp_path, recipe, left(recipe))

    assert page.count("Recall of malignant</th>") == 1
    assert "Normal recall</th><td>0.833</td>" in page
    assert "<td>0.850</td></tr>" in page


def test_networks_that_are_averaged_have_a_curve_each(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    told = left(recipe, losses=[])
    write_losses(tmp_path / "folds" / "fold-0", [[2.0, 1.0], [3.0, 2.0]])

    page = page_of(tmp_path, recipe, told)

    assert page.count("<svg") == PLOTS + 1, "nothing is known of the other fold's trainings"
    assert "network 1</text>" in page
    assert "network 2</text>" in page


def test_without_any_losses_there_is_no_section_for_them(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("segmenter")

    page = page_of(tmp_path, recipe, left(recipe, losses=[]))

    assert "<svg" not in page
    assert "<h2>Trainings" not in page


@pytest.mark.usefixtures("eagerly")
@NUMPY_2
@pytest.mark.parametrize(
    ("kind", "folds"), [("classifier", [1]), ("joint", [1]), ("segmenter", [0, 1])]
)
def test_mistakes_are_drawn_by_the_network_that_was_not_shown_them(
    samples: list[Sample], small: Small, tmp_path: Path, kind: str, folds: list[int]
) -> None:
    recipe = small(kind)
    checked = cross_validate(Plan(recipe, Start(), samples, tmp_path), folds)
    told = facts(recipe, checked, samples, start=Start())

    file = write_training_report(
        tmp_path, recipe, told, samples, data="phantoms & more", leaks=False
    )

    page = file.read_text(encoding="utf-8")
    wrong = {row.image for row in checked.outcomes() if is_wrong(row)}
    assert file == tmp_path / REPORT
    assert wrong
    assert f"The worst {len(wrong)} of {len(wrong)} mistakes" in page
    assert page.count('<img src="data:image/png') == len(wrong)
    assert "Grad-CAM highest inside the lesion</th>" in page
    for fold in folds:
        ask = asker_of(tmp_path / "folds" / f"fold-{fold}", recipe)
        for sample in (x for x in samples if x.fold == fold and image_name(x) in wrong):
            (said,) = ask([sample])
            lesion = sample.read()[1]
            assert f"{image_name(sample)}: " in page
            assert plots.tile(read_rgb(sample.image), lesion, said.mask, said.heatmap) in page


def test_mistakes_of_a_network_that_is_gone_are_shown_and_say_so(
    samples: list[Sample], small: Small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held_out = [x for x in samples if x.fold == 1]
    rows = [ImageOutcome(image_name(x), 0, x.label, (), Overlap(9, 9, 3)) for x in held_out]

    drawn = draw_mistakes({1: rows}, samples, {1: tmp_path / "fold-1"}, small("segmenter"))

    assert len(drawn.tiles) == drawn.total == len(held_out)
    assert all("its network cannot be read" in caption for caption, _ in drawn.tiles)
    assert "fold-1: its network cannot be read" in caplog.text


def test_the_worst_come_first_from_every_fold_and_the_rest_is_counted(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    rows: dict[int, list[ImageOutcome]] = {0: [], 1: []}
    many = []
    for number in range(SHOWN + 6):
        fold = number % 2
        many.append(replace(samples[number % 12], fold=fold))
        # Nothing of any lesion was found: the larger it is, the worse.
        missed = Overlap(100 + number, 0, 0)
        rows[fold].append(ImageOutcome(image_name(many[-1]), 0, 1, (), missed))
    rows[0].append(ImageOutcome("normal/9.png", 0, 0, (), Overlap(0, 999, 0)))
    many.append(Sample(samples[0].image.with_name("9.png"), 0, (), 0, 0))
    many[-1].image.write_bytes(samples[0].image.read_bytes())
    homes = {fold: tmp_path / str(fold) for fold in rows}

    drawn = draw_mistakes(rows, many, homes, small("segmenter"))

    assert (len(drawn.tiles), drawn.total) == (SHOWN, SHOWN + 7)
    assert drawn.tiles[0][0].startswith("normal/9.png: normal, yet outlined")
    assert "Dice 0.00" in drawn.tiles[1][0]


def test_two_images_of_one_name_are_not_taken_for_each_other(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    first, other = samples[:2]
    (tmp_path / "other" / "normal").mkdir(parents=True)
    twin = tmp_path / "other" / "normal" / first.image.name
    twin.write_bytes(other.image.read_bytes())
    pair = [replace(first, fold=0, masks=()), replace(first, image=twin, fold=1, masks=())]
    said = [ImageOutcome(image_name(x), 0, 0, (0.1, 0.2 + x.fold / 10, 0.7)) for x in pair]

    drawn = draw_mistakes(
        {0: said[:1], 1: said[1:]}, pair, {0: tmp_path, 1: tmp_path}, small("classifier")
    )

    nothing = np.zeros(first.read()[1].shape, np.bool_)
    assert [tile for _, tile in drawn.tiles] == [
        plots.tile(read_rgb(x.image), nothing) for x in pair
    ]


@pytest.mark.usefixtures("eagerly")
@NUMPY_2
def test_an_answer_that_calibration_changed_says_what_its_heat_map_is_of(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    recipe = small("classifier")
    checked = cross_validate(Plan(recipe, Start(), samples, tmp_path), [1])
    own = checked.folds[1][0]
    others = {(0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)}
    said = next(
        x
        for x in sorted(others)
        if x.index(0.8) not in (own.label, own.probabilities.index(max(own.probabilities)))
    )
    sample = next(x for x in samples if image_name(x) == own.image)

    drawn = draw_mistakes(
        {1: [replace(own, probabilities=said)]},
        [sample],
        {1: tmp_path / "folds" / "fold-1"},
        recipe,
    )

    ((caption, _),) = drawn.tiles
    answered = recipe.classes[own.probabilities.index(max(own.probabilities))]
    assert caption.endswith(f"; Grad-CAM for {answered}, its answer uncalibrated")


def test_outcomes_of_before_heat_maps_were_measured_tell_nothing_of_them(
    small: Small, left: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    recipe = small("joint")
    left(recipe)
    old, new = (tmp_path / "folds" / f"fold-{fold}" / OUTCOMES for fold in range(2))
    rows = json.loads(old.read_text())
    for row in rows["images"]:
        del row["heat"]
    old.write_text(json.dumps(rows))
    told = {0: read_outcomes(old)[0], 1: read_outcomes(new)[0]}
    told[1] = [replace(x, heat=Heat(0.5, pointed=True, lesion_share=0.1)) for x in told[1]]

    checked = CrossValidation(told, recipe.classes)

    assert "explanation" not in checked.pooled()
    assert not any("explanation" in report for report in checked.reports().values())
    assert "explanation" in CrossValidation({1: told[1]}, recipe.classes).pooled()
