"""From a data set to a preset whose figures were measured on images it had not seen.

Each fold is held out once; a network trained on the others is scored on it. Nothing is chosen on
a held-out fold: the number of epochs is fixed beforehand, and its temperature comes from the other
folds' outcomes. The shipped network is then trained the same way on all folds.
Importing this module loads TensorFlow.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models.evaluation import EvaluationReport, Outcome, outcomes, report
from models.networks.backbone import BaseWeights
from models.predictor import Predictor
from models.preset import MANIFEST, NetworkFile, Preset, read_preset
from models.training.calibration import fit_temperature, rescale
from models.training.dataset import Sample, cases, load_arrays
from models.training.save import save_preset
from models.training.train import TrainingConfig, train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a preset's network is trained, and how its answers are read (see `Preset`)."""

    training: TrainingConfig
    mask_threshold: float = 0.3
    mask_seed_threshold: float = 0.5
    mirrored: bool = True


def default_recipe(backbone: BaseWeights = "imagenet", *, seed: int = 0) -> Recipe:
    """Return the recipe of the shipped preset; ``backbone`` as in `build_backbone`."""
    return Recipe(TrainingConfig(backbone=backbone, seed=seed))


@dataclass(frozen=True)
class CrossValidation:
    """Outcomes on each held-out fold, at temperature 1."""

    folds: Mapping[int, list[Outcome]]

    @property
    def temperature(self) -> float:
        """The temperature over all held-out images."""
        return fit_temperature([x for fold in self.folds.values() for x in fold])

    def reports(self) -> dict[int, EvaluationReport]:
        """Each fold's report, its temperature taken from the other folds (1 if there are none)."""
        return {fold: report(self._calibrated(fold)) for fold in self.folds}

    def pooled(self) -> EvaluationReport:
        """One report over all held-out images."""
        return report([x for fold in self.folds for x in self._calibrated(fold)])

    def _calibrated(self, held_out: int) -> list[Outcome]:
        others = [x for fold, rows in self.folds.items() if fold != held_out for x in rows]
        temperature = fit_temperature(others) if others else 1.0
        return rescale(self.folds[held_out], temperature)


def cross_validate(
    samples: Sequence[Sample],
    recipe: Recipe,
    directory: Path,
    *,
    folds: Sequence[int] | None = None,
) -> CrossValidation:
    """Hold out each fold in turn (or only ``folds``); its network goes to ``directory/fold-<n>``.

    A fold whose network is already there, by the same recipe, is scored, not trained again.
    """
    chosen = sorted({sample.fold for sample in samples}) if folds is None else folds
    scored: dict[int, list[Outcome]] = {}
    for fold in chosen:
        home = directory / f"fold-{fold}"
        if not _is_trained(home, recipe):
            train_preset(
                [x for x in samples if x.fold != fold], recipe, home, _plain_preset(recipe)
            )
        held_out = [x for x in samples if x.fold == fold]
        scored[fold] = outcomes(Predictor.load(home), cases(held_out))
        logger.info("fold %d: %s", fold, report(scored[fold]).to_dict())
    return CrossValidation(scored)


def train_preset(
    samples: Sequence[Sample], recipe: Recipe, directory: Path, preset: Preset
) -> Preset:
    """Train on all ``samples`` and save the network as ``preset``; return it with its digest."""
    trained = train(load_arrays(samples, recipe.training.size_px), recipe.training)
    return save_preset(directory, preset, trained.network)


def describe_preset(
    samples: Sequence[Sample], recipe: Recipe, checked: CrossValidation, *, name: str, version: str
) -> Preset:
    """Describe the preset to be trained on ``samples``; what is measured comes from ``checked``."""
    return replace(
        _plain_preset(recipe),
        name=name,
        version=version,
        temperature=round(checked.temperature, 4),
        trained=_facts(samples, recipe, checked),
    )


def make_preset(
    samples: Sequence[Sample],
    recipe: Recipe,
    directory: Path,
    *,
    name: str,
    version: str,
    checked: CrossValidation,
) -> Preset:
    """Describe a preset, train it on ``samples`` and save it in ``directory``."""
    described = describe_preset(samples, recipe, checked, name=name, version=version)
    return train_preset(samples, recipe, directory, described)


def _plain_preset(recipe: Recipe) -> Preset:
    return Preset(
        name="fold",
        version="0",
        network=NetworkFile("", "", 0),
        mask_threshold=recipe.mask_threshold,
        mask_seed_threshold=recipe.mask_seed_threshold,
        mirrored=recipe.mirrored,
        trained={"recipe": _recipe_facts(recipe)},
    )


def _is_trained(home: Path, recipe: Recipe) -> bool:
    if not (home / MANIFEST).is_file():
        return False
    return bool(read_preset(home).trained["recipe"] == _recipe_facts(recipe))


def _recipe_facts(recipe: Recipe) -> dict[str, Any]:
    return {key: _plain(value) for key, value in asdict(recipe).items()}


def _facts(samples: Sequence[Sample], recipe: Recipe, checked: CrossValidation) -> dict[str, Any]:
    return {
        "images": len(samples),
        "folds": sorted({sample.fold for sample in samples}),
        "recipe": _recipe_facts(recipe),
        "held_out_folds": sorted(checked.folds),
        "held_out": {str(fold): x.to_dict() for fold, x in checked.reports().items()},
        "held_out_pooled": checked.pooled().to_dict(),
    }


def _plain(value: Any) -> Any:
    """Keep file names, not where they lay on the machine that trained."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.name if isinstance(value, Path) else value
