"""Several trainings of one architecture averaged into one preset, scored fold by fold.

Networks that were trained apart err apart: their mean is right more often than either, and less sure
where it is wrong. Importing this module loads TensorFlow.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.preset import NetworkFile, Preset, read_preset, write_preset
from models.recipe import Recipe
from models.training.cross_validation import (
    OUTCOMES,
    PRESET,
    CrossValidation,
    describe_preset,
    plain_preset,
    recipe_facts,
)
from models.training.dataset import Sample
from models.training.outcomes import ImageOutcome, preset_outcomes, write_outcomes
from models.training.start import Start
from models.types import DatasetError


@dataclass(frozen=True)
class Member:
    """A finished cross-validation: its recipe, and the directory that `sonogate train` left.

    ``shipped``: the fold whose network is shipped, which has not seen that fold's images; None for
    the network trained on all of them.
    """

    recipe: Recipe
    directory: Path
    shipped: int | None = None

    @property
    def network(self) -> Path:
        """The preset directory of the network to ship."""
        if self.shipped is None:
            return self.directory / PRESET
        return self.fold(self.shipped)

    def fold(self, number: int) -> Path:
        """The preset directory of the network that has not seen a fold."""
        return self.directory / "folds" / f"fold-{number}"


def combine(
    members: Sequence[Member],
    samples: Sequence[Sample],
    directory: Path,
    *,
    start: Start,
    name: str,
    version: str,
    target_accuracy: float,
) -> Preset:
    """Average the members' networks of each fold, score them on it, and make the preset.

    How answers are read is the first member's. Raises `DatasetError` for a fold that a member
    lacks, and `PresetCorrupt`.
    """
    recipe, home = members[0].recipe, directory / PRESET
    folds = sorted({sample.fold for sample in samples})
    told_by_fold = {fold: _scored(members, samples, fold, directory) for fold in folds}
    checked = CrossValidation(told_by_fold, recipe.classes, recipe.reading.class_bias)
    described = describe_preset(
        recipe, checked, samples,
        start=start, name=name, version=version, target_accuracy=target_accuracy,
    )  # fmt: skip
    told: dict[str, Any] = {
        **described.trained,
        "networks": [
            {"recipe": recipe_facts(each.recipe), "held_out_fold": each.shipped} for each in members
        ],
    }
    return average([each.network for each in members], home, replace(described, trained=told))


def average(presets: Sequence[Path], home: Path, like: Preset) -> Preset:
    """Write a preset of all networks of ``presets`` into ``home``, otherwise as ``like``."""
    home.mkdir(parents=True, exist_ok=True)
    files = [(each, file) for each in presets for file in read_preset(each).networks]
    first, *further = (
        _copied(source / file.file, home / f"network-{number}.weights.h5", file)
        for number, (source, file) in enumerate(files, 1)
    )
    preset = replace(like, network=first, further_networks=tuple(further))
    write_preset(home, preset)
    return preset


def _scored(
    members: Sequence[Member], samples: Sequence[Sample], fold: int, directory: Path
) -> Sequence[ImageOutcome]:
    for member in members:
        if not member.fold(fold).is_dir():
            raise DatasetError(f"{member.directory.name} holds no network that spared fold {fold}")
    home = directory / "folds" / f"fold-{fold}"
    average([member.fold(fold) for member in members], home, plain_preset(members[0].recipe))
    outcomes = preset_outcomes(home, [sample for sample in samples if sample.fold == fold])
    write_outcomes(home / OUTCOMES, outcomes, {"fold": fold})
    return outcomes


def _copied(source: Path, target: Path, file: NetworkFile) -> NetworkFile:
    shutil.copyfile(source, target)
    return replace(file, file=target.name)
