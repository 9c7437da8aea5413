"""Ensembles: several training runs of one architecture, averaged and scored fold by fold.

Networks trained with different seeds make different errors. Their average is more accurate and less
overconfident than each of them. Importing this module loads TensorFlow.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.data.dataset import Sample, require_annotations
from models.data.digests import TRAINING_IMAGES, hash_samples, list_training_images
from models.preset import NetworkFile, Preset, read_preset, write_preset
from models.recipe import Recipe
from models.training.cross_validation import (
    PRESET,
    CrossValidation,
    describe_preset,
    recipe_values,
    uncalibrated_preset,
)
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    image_name,
    read_held_out,
    score_held_out,
    write_held_out,
)
from models.training.initial_weights import InitialWeights
from models.training.loss_history import read_losses, write_losses
from models.training.predictions import preset_sample_predictor
from models.training.run_directory import has_training_run
from models.types import DatasetError


@dataclass(frozen=True)
class EnsembleMember:
    """A finished cross-validation in the directory of `sonogate train`.

    ``held_out_fold`` selects the network that becomes part of the preset: the one trained without
    that fold, or, if it is None, the one trained on all images. ``initial_weights`` describes the
    initial weights.
    """

    recipe: Recipe
    directory: Path
    held_out_fold: int | None = None
    initial_weights: str = ""

    @property
    def preset_directory(self) -> Path:
        """The preset of the selected network."""
        if self.held_out_fold is None:
            return self.directory / PRESET
        return self.fold_directory(self.held_out_fold)

    def fold_directory(self, fold: int) -> Path:
        """Return the preset directory of the network trained without ``fold``."""
        return self.directory / "folds" / f"fold-{fold}"


def build_ensemble(
    members: Sequence[EnsembleMember],
    samples: Sequence[Sample],
    directory: Path,
    *,
    initial_weights: InitialWeights,
    name: str,
    version: str,
    target_accuracy: float,
) -> Preset:
    """Score the average of the members' networks on each fold, and save the average as a preset.

    Thresholds and test-time augmentation are those of the first member.

    Raises:
        DatasetError: a member has not held out one of the folds, or held out other images;
            ``directory`` contains a training run; or a lesion is not annotated.
        PresetCorrupt: a member's preset cannot be read.
    """
    recipe = members[0].recipe
    folds = sorted({sample.fold for sample in samples})
    if has_training_run(directory):
        raise DatasetError(f"{directory.name} contains a training run: choose another --out")
    require_annotations(samples)
    for member in members:
        for fold in folds:
            _check_held_out(member, samples, fold)
    results = {fold: _score_fold(members, samples, fold, directory) for fold in folds}
    description = describe_preset(
        recipe,
        CrossValidation(results, recipe.classes, recipe.inference.class_bias),
        samples,
        initial_weights=initial_weights,
        name=name,
        version=version,
        target_accuracy=target_accuracy,
    )
    networks = [
        {"recipe": recipe_values(member.recipe), "held_out_fold": member.held_out_fold}
        for member in members
    ]
    training_images = _training_images(samples, [member.held_out_fold for member in members])
    trained = {**description.trained, "networks": networks, TRAINING_IMAGES: training_images}
    return average_presets(
        [member.preset_directory for member in members],
        directory / PRESET,
        replace(description, trained=trained),
    )


def average_presets(presets: Sequence[Path], home: Path, description: Preset) -> Preset:
    """Write a preset with the networks of all ``presets`` and their saved losses to ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    files: list[NetworkFile] = []
    for preset in presets:
        for network in read_preset(preset).networks:
            name = f"network-{len(files) + 1}.weights.h5"
            shutil.copyfile(preset / network.file, home / name)
            files.append(replace(network, file=name))
    average = replace(description, network=files[0], further_networks=tuple(files[1:]))
    write_preset(home, average)
    write_losses(home, [curve for x in presets for curve in read_losses(x).values()])
    return average


def _score_fold(
    members: Sequence[EnsembleMember], samples: Sequence[Sample], fold: int, directory: Path
) -> Sequence[HeldOutResult]:
    home, preset = directory / "folds" / f"fold-{fold}", uncalibrated_preset(members[0].recipe)
    trained = {**preset.trained, TRAINING_IMAGES: _training_images(samples, [fold])}
    fold_directories = [member.fold_directory(fold) for member in members]
    average_presets(fold_directories, home, replace(preset, trained=trained))
    results = score_held_out(preset_sample_predictor(home), [x for x in samples if x.fold == fold])
    write_held_out(home / HELD_OUT_FILE, results, {"fold": fold})
    return results


def _check_held_out(member: EnsembleMember, samples: Sequence[Sample], fold: int) -> None:
    """Check that a member held out the images of a fold, not only a fold of the same number."""
    file, name = member.fold_directory(fold) / HELD_OUT_FILE, member.directory.name
    if not file.is_file():
        raise DatasetError(f"{name} has no network that was trained without fold {fold}")
    held_out = {result.image for result in read_held_out(file)[0]}
    if held_out != {image_name(sample) for sample in samples if sample.fold == fold}:
        raise DatasetError(
            f"fold {fold} of {name} held out other images than fold {fold} of this dataset, so its"
            " network was trained on images that it would be scored on; use the --data and --folds"
            " of that run"
        )


def _training_images(samples: Sequence[Sample], held_out: Sequence[int | None]) -> str:
    """Return all images that at least one of the networks was trained on."""
    training = [x for x in samples if any(x.fold != fold for fold in held_out)]
    return list_training_images(x.image_sha256 for x in hash_samples(training))
