from pathlib import Path

import pytest
from PIL import Image

from models.evaluation import Outcome, Overlap
from models.phantom import make_phantom
from models.predictor import Predictor
from models.preset import read_preset
from models.training.card import render_card, write_card
from models.training.dataset import Sample, read_samples
from models.training.recipe import (
    CrossValidation,
    Recipe,
    cross_validate,
    describe_preset,
    make_preset,
)
from models.training.train import TrainingConfig

CONFIG = TrainingConfig(epochs=1, size_px=64, batch_size=8, backbone=None)
KINDS = {"normal": "normal", "benign": "cyst", "malignant": "spiculated"}


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four phantoms of each class, in two folds."""
    for name, kind in KINDS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for seed in range(4):
            phantom = make_phantom(kind, seed=seed, height=64, width=80, spacing_mm=0.5)
            stem = tmp_path / "data" / name / f"{name} ({seed})"
            Image.fromarray(phantom.image).save(f"{stem}.png")
            Image.fromarray(phantom.mask).save(f"{stem}_mask.png")
    return read_samples(tmp_path / "data", folds=2)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
def test_a_data_set_becomes_a_preset_with_figures_and_a_card(
    samples: list[Sample], tmp_path: Path
) -> None:
    recipe = Recipe(CONFIG, mask_threshold=0.4)
    checked = cross_validate(samples, recipe, tmp_path / "folds", folds=[1])
    trained_once = read_preset(tmp_path / "folds" / "fold-1")
    again = cross_validate(samples, recipe, tmp_path / "folds", folds=[1])

    made = make_preset(
        samples, recipe, tmp_path / "made", name="small", version="1", checked=checked
    )
    write_card(tmp_path / "made", made, data="Phantoms.", start="Random.")

    assert again.folds == checked.folds
    assert read_preset(tmp_path / "folds" / "fold-1") == trained_once
    assert Predictor.load(tmp_path / "made").info == made.info
    assert read_preset(tmp_path / "made") == made
    assert made.mask_threshold == 0.4
    assert made.trained["images"] == 12
    assert made.trained["held_out_pooled"]["classification"]["images"] == 6
    card = (tmp_path / "made" / "CARD.md").read_text(encoding="utf-8")
    assert made.network.sha256 in card
    assert card == render_card(read_preset(tmp_path / "made"), data="Phantoms.", start="Random.")


def test_a_fold_is_calibrated_by_the_others_alone() -> None:
    sure = (0.98, 0.01, 0.01)
    right = [Outcome(0, sure, Overlap(0, 0, 0))] * 10
    wrong = [Outcome(1, sure, Overlap(0, 0, 0))] * 10

    reports = CrossValidation({0: right, 1: right + wrong}).reports()

    # Fold 0 is judged by fold 1, which was wrong half the time: its certainty is taken back.
    assert reports[0].classification.ece > 0.3
    assert reports[1].classification.ece == pytest.approx(0.5, abs=0.01)


def test_a_single_fold_is_scored_as_it_is() -> None:
    outcome = Outcome(0, (0.7, 0.2, 0.1), Overlap(0, 0, 0))

    (report,) = CrossValidation({3: [outcome]}).reports().values()

    assert report.classification.ece == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        ([0, 1, 2], "trained in the same way on all folds"),
        ([0, 2], "it has not seen the images"),
    ],
)
def test_the_card_says_whether_the_shipped_network_saw_the_scored_images(
    folds: list[int], sentence: str
) -> None:
    samples = [Sample(Path("x.png"), 0, (), fold, fold) for fold in folds]
    checked = CrossValidation({1: [Outcome(0, (0.7, 0.2, 0.1), Overlap(0, 0, 0))]})

    described = describe_preset(samples, Recipe(CONFIG), checked, name="small", version="1")

    assert sentence in render_card(described, data="Phantoms.", start="Random.")
