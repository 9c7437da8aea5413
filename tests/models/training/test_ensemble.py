"""Two runs averaged: each fold by networks not trained on it, the preset by the selected ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Sample
from models.data.digests import TRAINING_IMAGES, hash_samples, list_training_images
from models.networks.backbone import build_backbone
from models.networks.joint import build_joint
from models.phantom import make_phantom
from models.preset import read_preset
from models.recipe import Recipe
from models.training.cross_validation import PRESET, uncalibrated_preset
from models.training.ensemble import EnsembleMember, build_ensemble
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    image_name,
    read_held_out,
    write_held_out,
)
from models.training.initial_weights import InitialWeights
from models.training.loss_history import LOSSES_FILE, read_losses
from models.training.model_card import render_card
from models.training.run_directory import RUN_FILE
from models.training.saving import save_preset
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
    samples: list[Sample] = []
    for label, kind in enumerate(("normal", "cyst", "spiculated")):
        for fold in range(2):
            phantom = make_phantom(kind, seed=fold, height=64, width=80, spacing_mm=0.5)
            file = folder / f"{kind}-{fold}.png"
            Image.fromarray(phantom.image).save(file)
            samples.append(Sample(file, label, (), len(samples), fold))
    return samples


@pytest.fixture
def members(tmp_path: Path, samples: list[Sample], small: Small) -> list[EnsembleMember]:
    """The held-out results of two training runs, without networks."""
    return write_results(tmp_path, samples, small)


def write_results(folder: Path, samples: list[Sample], small: Small) -> list[EnsembleMember]:
    members = [EnsembleMember(small("joint"), folder / name) for name in ("first", "second")]
    for member in members:
        for fold in range(2):
            results = [HeldOutResult(image_name(x), 0, x.label) for x in samples if x.fold == fold]
            member.fold_directory(fold).mkdir(parents=True)
            write_held_out(member.fold_directory(fold) / HELD_OUT_FILE, results, {})
    return members


@dataclass(frozen=True)
class Pair:
    """Two training runs with random networks, and the ensemble built from them."""

    samples: list[Sample]
    members: list[EnsembleMember]
    home: Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, small: Small) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    samples = make_samples(folder)
    members = write_results(folder, samples, small)
    network, rng = build_joint(build_backbone(64)), np.random.default_rng(0)
    head = network.get_layer("class")
    for member in members:
        for home in (member.fold_directory(0), member.fold_directory(1), member.preset_directory):
            # One network with six class heads: building six would take longer than the tests.
            head.set_weights([rng.normal(size=x.shape) for x in head.get_weights()])
            save_preset(home, uncalibrated_preset(member.recipe), network)
    (members[0].preset_directory / LOSSES_FILE).write_text("[2.0, 1.0]")
    (members[1].preset_directory / LOSSES_FILE).write_text("[3.0, 2.5]")
    (members[1].fold_directory(1) / LOSSES_FILE).write_text("[4.0]")
    combined(members, samples, folder / "out")
    return Pair(samples, members, folder / "out")


def combined(members: list[EnsembleMember], samples: list[Sample], home: Path) -> Path:
    build_ensemble(
        members,
        samples,
        home,
        initial_weights=InitialWeights(),
        name="pair",
        version="1",
        target_accuracy=0.9,
    )
    return home / PRESET


def test_the_preset_averages_the_networks_trained_on_everything(pair: Pair) -> None:
    preset = read_preset(pair.home / PRESET)

    expected = [read_preset(member.directory / PRESET).network.sha256 for member in pair.members]
    assert [network.sha256 for network in preset.networks] == expected
    assert (preset.name, preset.version) == ("pair", "1")
    assert preset.class_bias == (0.0, 0.0, 0.0)
    curves = read_losses(pair.home / PRESET)
    assert curves == {"network 1": [2.0, 1.0], "network 2": [3.0, 2.5]}
    folds = [read_losses(pair.home / "folds" / f"fold-{fold}") for fold in range(2)]
    assert folds == [{}, {"network 1": [4.0]}], "if they were saved"
    for fold in range(2):
        networks = read_preset(pair.home / "folds" / f"fold-{fold}").networks
        members = [read_preset(member.fold_directory(fold)) for member in pair.members]
        assert [x.sha256 for x in networks] == [x.network.sha256 for x in members]
    assert len(set(expected)) == 2


def training_images(samples: list[Sample]) -> str:
    return list_training_images(each.image_sha256 for each in hash_samples(samples))


def test_each_fold_is_scored_and_described(pair: Pair) -> None:
    preset = read_preset(pair.home / PRESET)

    assert preset.trained["held_out_folds"] == [0, 1]
    assert preset.trained["held_out_pooled"]["classification"]["images"] == 6
    assert preset.trained[TRAINING_IMAGES] == training_images(pair.samples)
    home = pair.home / "folds" / "fold-1"
    assert read_preset(home).trained[TRAINING_IMAGES] == training_images(
        [x for x in pair.samples if x.fold == 0]
    )
    results, _ = read_held_out(home / HELD_OUT_FILE)
    assert [result.label for result in results] == [0, 1, 2]
    card = render_card(preset, data="Phantoms.")
    assert "2 such networks, trained independently, are averaged" in card
    assert "2. recipe `small-joint`, trained on all images:" in card


def test_a_network_trained_without_a_fold_can_be_selected(pair: Pair, tmp_path: Path) -> None:
    selected = replace(pair.members[0], held_out_fold=1)

    preset = read_preset(combined([selected], pair.samples, tmp_path / "out"))

    expected = read_preset(selected.fold_directory(1)).network
    assert [network.sha256 for network in preset.networks] == [expected.sha256]
    assert "all images except those of fold 1" in render_card(preset, data="Phantoms.")
    assert preset.trained[TRAINING_IMAGES] == training_images(
        [x for x in pair.samples if x.fold == 0]
    )


def test_a_run_that_held_out_other_images_is_rejected_before_anything_is_written(
    members: list[EnsembleMember], samples: list[Sample], tmp_path: Path
) -> None:
    swapped = [replace(x, fold=1 - x.fold) if x.label == 1 else x for x in samples]

    with pytest.raises(DatasetError, match="fold 0 of first held out other images"):
        combined(members, swapped, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_training_run_is_not_overwritten(
    members: list[EnsembleMember], samples: list[Sample]
) -> None:
    home = members[0].directory
    (home / RUN_FILE).write_text("{}")
    before = set(home.rglob("*"))

    with pytest.raises(DatasetError, match="first contains a training run: choose another --out"):
        combined(members, samples, home)

    assert set(home.rglob("*")) == before


def test_a_fold_that_a_run_has_not_held_out_is_named(
    members: list[EnsembleMember], samples: list[Sample], tmp_path: Path
) -> None:
    wrong = [*samples, replace(samples[0], fold=2)]

    with pytest.raises(DatasetError, match="first has no network that was trained without fold 2"):
        combined(members, wrong, tmp_path / "out")


def test_outlines_are_not_scored_on_lesions_without_a_mask(
    samples: list[Sample], small: Small, tmp_path: Path
) -> None:
    bare = [replace(samples[0], masks=(), annotated=False), *samples[1:]]

    with pytest.raises(DatasetError, match="without a mask although not of class normal: "):
        build_ensemble(
            [EnsembleMember(small("joint"), tmp_path)], bare, tmp_path / "out",
            initial_weights=InitialWeights(), name="mean", version="1", target_accuracy=0.9,
        )  # fmt: skip

    assert not (tmp_path / "out").exists()
