"""Two trainings averaged: each fold by the networks that spared it, the preset by those asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from models.training.claim import TRAINING
from models.training.combine import Member, combine
from models.training.cross_validation import OUTCOMES, PRESET, plain_preset
from models.training.dataset import Sample
from models.training.identity import SEEN, mark, seen_images
from models.training.loss_history import LOSSES, read_losses
from models.training.outcomes import ImageOutcome, image_name, read_outcomes, write_outcomes
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
    return make_samples(tmp_path)


def make_samples(folder: Path) -> list[Sample]:
    """Two phantoms of each class, one in each of two folds."""
    made: list[Sample] = []
    for label, kind in enumerate(("normal", "cyst", "spiculated")):
        for fold in range(2):
            phantom = make_phantom(kind, seed=fold, height=64, width=80, spacing_mm=0.5)
            file = folder / f"{kind}-{fold}.png"
            Image.fromarray(phantom.image).save(file)
            made.append(Sample(file, label, (), len(made), fold))
    return made


@pytest.fixture
def lost(tmp_path: Path, samples: list[Sample], small: Small) -> list[Member]:
    """What two trainings tell of the images that they held out; their networks are lost."""
    return make_lost(tmp_path, samples, small)


def make_lost(folder: Path, samples: list[Sample], small: Small) -> list[Member]:
    made = [Member(small("joint"), folder / name) for name in ("first", "second")]
    for member in made:
        for fold in range(2):
            told = [ImageOutcome(image_name(x), 0, x.label) for x in samples if x.fold == fold]
            member.fold(fold).mkdir(parents=True)
            write_outcomes(member.fold(fold) / OUTCOMES, told, {})
    return made


@dataclass(frozen=True)
class Pair:
    """Two trainings as they are left behind, of random networks, and what is made of them."""

    samples: list[Sample]
    members: list[Member]
    home: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, small: Small) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    samples = make_samples(folder)
    members = make_lost(folder, samples, small)
    for member in members:
        for home in (member.fold(0), member.fold(1), member.network):
            network = build_joint(build_backbone(member.recipe.input.size_px))
            save_preset(home, plain_preset(member.recipe), network)
    (members[0].network / LOSSES).write_text("[2.0, 1.0]")
    (members[1].network / LOSSES).write_text("[3.0, 2.5]")
    (members[1].fold(1) / LOSSES).write_text("[4.0]")
    combined(members, samples, folder / "out")
    return Pair(samples, members, folder / "out")


def combined(members: list[Member], samples: list[Sample], home: Path) -> Path:
    combine(members, samples, home, start=Start(), name="pair", version="1", target_accuracy=0.9)
    return home / PRESET


def test_the_preset_averages_the_networks_trained_on_everything(pair: Pair) -> None:
    preset = read_preset(pair.home / PRESET)

    expected = [read_preset(member.directory / PRESET).network.sha256 for member in pair.members]
    assert [network.sha256 for network in preset.networks] == expected
    frame = pair.samples[2].read()[0]
    assert (preset.name, preset.version) == ("pair", "1")
    assert preset.class_bias == (0.0, 0.0, 0.0)
    curves = read_losses(pair.home / PRESET)
    assert curves == {"network 1": [2.0, 1.0], "network 2": [3.0, 2.5]}
    folds = [read_losses(pair.home / "folds" / f"fold-{fold}") for fold in range(2)]
    assert folds == [{}, {"network 1": [4.0]}], "as far as they are known"
    said = [
        np.log(Predictor.load(member.fold(0)).predict([frame], batch_size=1)[0].probabilities)
        for member in pair.members
    ]
    (both,) = Predictor.load(pair.home / "folds" / "fold-0").predict([frame], batch_size=1)
    mean = np.exp(np.mean(said, axis=0))
    assert both.probabilities == pytest.approx(mean / mean.sum(), abs=1e-4)


def seen(samples: list[Sample]) -> str:
    return seen_images(each.image for each in mark(samples))


def test_each_fold_is_scored_and_told(pair: Pair) -> None:
    preset = read_preset(pair.home / PRESET)

    assert preset.trained["held_out_folds"] == [0, 1]
    assert preset.trained["held_out_pooled"]["classification"]["images"] == 6
    assert preset.trained[SEEN] == seen(pair.samples)
    home = pair.home / "folds" / "fold-1"
    assert read_preset(home).trained[SEEN] == seen([x for x in pair.samples if x.fold == 0])
    outcomes, _ = read_outcomes(home / OUTCOMES)
    assert [outcome.label for outcome in outcomes] == [0, 1, 2]
    card = render_card(preset, data="Phantoms.")
    assert "2 such networks, trained apart, are averaged" in card
    assert "2. recipe `small-joint`, has seen every image:" in card


def test_networks_that_spared_a_fold_can_be_shipped(pair: Pair, tmp_path: Path) -> None:
    chosen = [replace(member, shipped=1) for member in pair.members]

    preset = read_preset(combined(chosen, pair.samples, tmp_path / "out"))

    expected = [read_preset(member.fold(1)).network.sha256 for member in pair.members]
    assert [network.sha256 for network in preset.networks] == expected
    assert "every image but those of fold 1" in render_card(preset, data="Phantoms.")
    assert preset.trained[SEEN] == seen([x for x in pair.samples if x.fold == 0])


def test_a_training_that_held_out_other_images_is_refused_before_anything_is_written(
    lost: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    swapped = [replace(x, fold=1 - x.fold) if x.label == 1 else x for x in samples]

    with pytest.raises(DatasetError, match="fold 0 of first held out other images"):
        combined(lost, swapped, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_training_is_not_overwritten(lost: list[Member], samples: list[Sample]) -> None:
    home = lost[0].directory
    (home / TRAINING).write_text("{}")
    before = set(home.rglob("*"))

    with pytest.raises(DatasetError, match="first holds a training: give another --out"):
        combined(lost, samples, home)

    assert set(home.rglob("*")) == before


def test_a_fold_that_a_training_lacks_is_named(
    lost: list[Member], samples: list[Sample], tmp_path: Path
) -> None:
    wrong = [*samples, replace(samples[0], fold=2)]

    with pytest.raises(DatasetError, match="first holds no network that spared fold 2"):
        combined(lost, wrong, tmp_path / "out")


def test_outlines_are_not_scored_on_lesions_without_a_mask(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    bare = [replace(samples[0], masks=(), outlined=False), *samples[1:]]

    with pytest.raises(DatasetError, match="without a mask, though not of class normal: "):
        combine(
            [Member(small("joint"), tmp_path)], bare, tmp_path / "out",
            start=Start(), name="mean", version="1", target_accuracy=0.9,
        )  # fmt: skip

    assert not (tmp_path / "out").exists()
