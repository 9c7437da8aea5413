"""Two trainings averaged: each fold by the networks that spared it, the preset by those asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.networks.backbone import build_backbone
from models.networks.joint import build_joint
from models.phantom import make_phantom
from models.predictor import Predictor
from models.preset import read_preset
from models.recipe import Recipe
from models.training.card import render_card
from models.training.combine import Member, combine
from models.training.cross_validation import PRESET, plain_preset
from models.training.dataset import Sample
from models.training.outcomes import read_outcomes
from models.training.save import save_preset
from models.training.start import Start
from models.types import DatasetError

Small = Callable[..., Recipe]

pytestmark = pytest.mark.filterwarnings(
    # Keras 3.15 reads TensorFlow variables in a way that NumPy 2 warns about.
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Two phantoms of each class, one in each of two folds."""
    made: list[Sample] = []
    for label, kind in enumerate(("normal", "cyst", "spiculated")):
        for fold in range(2):
            phantom = make_phantom(kind, seed=fold, height=64, width=80, spacing_mm=0.5)
            file = tmp_path / f"{kind}-{fold}.png"
            Image.fromarray(phantom.image).save(file)
            made.append(Sample(file, label, (), len(made), fold))
    return made


@pytest.fixture
def members(tmp_path: Path, small: Small) -> list[Member]:
    """Two trainings as they are left behind, of random networks."""
    recipe = small("joint")
    for name in ("first", "second"):
        for place in ("folds/fold-0", "folds/fold-1", PRESET):
            network = build_joint(build_backbone(recipe.input.size_px))
            save_preset(tmp_path / name / place, plain_preset(recipe), network)
    return [Member(recipe, tmp_path / name) for name in ("first", "second")]


def combined(members: list[Member], samples: list[Sample], home: Path) -> Path:
    combine(members, samples, home, start=Start(), name="pair", version="1", target_accuracy=0.9)
    return home / PRESET


def test_the_preset_averages_the_networks_trained_on_everything(
    members: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    preset = read_preset(combined(members, samples, tmp_path / "out"))

    expected = [read_preset(member.directory / PRESET).network.sha256 for member in members]
    assert [network.sha256 for network in preset.networks] == expected
    frame = samples[2].read()[0]
    assert (preset.name, preset.version) == ("pair", "1")
    assert preset.class_bias == (0.0, 0.0, 0.0)
    said = [
        np.log(Predictor.load(member.fold(0)).predict([frame], batch_size=1)[0].probabilities)
        for member in members
    ]
    (both,) = Predictor.load(tmp_path / "out" / "folds" / "fold-0").predict([frame], batch_size=1)
    mean = np.exp(np.mean(said, axis=0))
    assert both.probabilities == pytest.approx(mean / mean.sum(), abs=1e-4)


def test_each_fold_is_scored_and_told(
    members: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    home = combined(members, samples, tmp_path / "out")

    preset = read_preset(home)
    assert preset.trained["held_out_folds"] == [0, 1]
    assert preset.trained["held_out_pooled"]["classification"]["images"] == 6
    outcomes, _ = read_outcomes(tmp_path / "out" / "folds" / "fold-1" / "outcomes.json")
    assert [outcome.label for outcome in outcomes] == [0, 1, 2]
    card = render_card(preset, data="Phantoms.")
    assert "2 such networks, trained apart, are averaged" in card
    assert "2. recipe `small-joint`, has seen every image:" in card


def test_networks_that_spared_a_fold_can_be_shipped(
    members: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    chosen = [replace(member, shipped=fold) for fold, member in enumerate(members)]

    preset = read_preset(combined(chosen, samples, tmp_path / "out"))

    expected = [read_preset(x.fold(fold)).network.sha256 for fold, x in enumerate(members)]
    assert [network.sha256 for network in preset.networks] == expected
    assert "every image but those of fold 1" in render_card(preset, data="Phantoms.")


def test_a_fold_that_a_training_lacks_is_named(
    members: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    wrong = [*samples, replace(samples[0], fold=2)]

    with pytest.raises(DatasetError, match="first holds no network that spared fold 2"):
        combined(members, wrong, tmp_path / "out")
