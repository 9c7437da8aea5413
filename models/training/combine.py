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
from models.training.answers import preset_asker
from models.training.claim import holds_training
from models.training.cross_validation import (
    OUTCOMES,
    PRESET,
    CrossValidation,
    describe_preset,
    plain_preset,
    recipe_facts,
)
from models.training.dataset import Sample, require_outlines
from models.training.identity import SEEN, mark, seen_images
from models.training.loss_history import read_losses, write_losses
from models.training.outcomes import (
    ImageOutcome,
    image_name,
    outcomes_of,
    read_outcomes,
    write_outcomes,
)
from models.training.start import Start
from models.types import DatasetError


@dataclass(frozen=True)
class Member:
    """A finished cross-validation: its recipe, and the directory that `sonogate train` left.

    ``shipped``: the fold whose network is shipped, which has not seen that fold's images; None for
    the network trained on all of them. ``start``: where its starting weights come from.
    """

    recipe: Recipe
    directory: Path
    shipped: int | None = None
    start: str = ""

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
    lacks or that held out other images there, and for a ``directory`` in which a training keeps its
    work; `PresetCorrupt`.
    """
    recipe, home = members[0].recipe, directory / PRESET
    folds = sorted({sample.fold for sample in samples})
    if holds_training(directory):
        raise DatasetError(f"{directory.name} holds a training: give another --out")
    require_outlines(samples)
    for member in members:
        for fold in folds:
            _check_spared(member, samples, fold)
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
        SEEN: _seen(samples, [each.shipped for each in members]),
    }
    return average([each.network for each in members], home, replace(described, trained=told))


def average(presets: Sequence[Path], home: Path, like: Preset) -> Preset:
    """Write a preset of all networks of ``presets`` into ``home``, otherwise as ``like``.

    The losses of their trainings go with them, where they are known.
    """
    home.mkdir(parents=True, exist_ok=True)
    files = [(each, file) for each in presets for file in read_preset(each).networks]
    first, *further = (
        _copied(source / file.file, home / f"network-{number}.weights.h5", file)
        for number, (source, file) in enumerate(files, 1)
    )
    preset = replace(like, network=first, further_networks=tuple(further))
    write_preset(home, preset)
    write_losses(home, [curve for each in presets for curve in read_losses(each).values()])
    return preset


def _scored(
    members: Sequence[Member], samples: Sequence[Sample], fold: int, directory: Path
) -> Sequence[ImageOutcome]:
    home, plain = directory / "folds" / f"fold-{fold}", plain_preset(members[0].recipe)
    told = {**plain.trained, SEEN: _seen(samples, [fold])}
    average([member.fold(fold) for member in members], home, replace(plain, trained=told))
    outcomes = outcomes_of(preset_asker(home), [x for x in samples if x.fold == fold])
    write_outcomes(home / OUTCOMES, outcomes, {"fold": fold})
    return outcomes


def _check_spared(member: Member, samples: Sequence[Sample], fold: int) -> None:
    """A fold is known by its images: trainings by other splits number theirs alike."""
    file, name = member.fold(fold) / OUTCOMES, member.directory.name
    if not file.is_file():
        raise DatasetError(f"{name} holds no network that spared fold {fold}")
    spared = {outcome.image for outcome in read_outcomes(file)[0]}
    if spared != {image_name(sample) for sample in samples if sample.fold == fold}:
        raise DatasetError(
            f"fold {fold} of {name} held out other images than fold {fold} of this data: its network"
            " was trained on what it would be scored on; give the --data and --folds of its training"
        )


def _seen(samples: Sequence[Sample], spared: Sequence[int | None]) -> str:
    """What networks saw together, each of which spared a fold, or None."""
    seen = [x for x in samples if any(x.fold != fold for fold in spared)]
    return seen_images(each.image for each in mark(seen))


def _copied(source: Path, target: Path, file: NetworkFile) -> NetworkFile:
    shutil.copyfile(source, target)
    return replace(file, file=target.name)
