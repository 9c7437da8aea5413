"""From a data set to a preset whose figures were measured on images it had not seen.

Each fold is held out once; a network trained on the others is scored on it. Nothing is chosen on
a held-out fold: epochs are fixed beforehand or ended by images set aside from the others, and its
calibration comes from the other folds' outcomes. A joint recipe's network is then trained in the
same way on all folds. Importing this module loads TensorFlow.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dicom.terms.classification import CLASSES
from models.bootstrap import Interval, intervals
from models.preset import MANIFEST, NetworkFile, Preset, read_preset, write_preset
from models.recipe import Recipe
from models.training.answers import network_asker, preset_asker
from models.training.calibration import (
    TARGET_ACCURACY,
    Abstention,
    Calibration,
    abstain_by_fold,
    apply_calibration,
    fit_calibration,
)
from models.training.checkpoint import Checkpoint
from models.training.claim import claim
from models.training.dataset import Sample, magnification_of, require_outlines
from models.training.identity import SEEN, Marked, digest_of, file_digest, mark, seen_images
from models.training.inputs import load_inputs
from models.training.logbook import Logbook
from models.training.loss_history import LOSSES
from models.training.outcomes import (
    ImageOutcome,
    figures,
    image_name,
    named_figures,
    outcomes_of,
    read_outcomes,
    write_outcomes,
)
from models.training.save import save_preset, save_weights
from models.training.splits import set_aside
from models.training.start import Start
from models.training.summary import spread_over
from models.training.train import Epoch, Step, Trained, train
from models.types import DatasetError

logger = logging.getLogger(__name__)

OUTCOMES = "outcomes.json"
PRESET = "preset"

Watch = Callable[[str, Step | Epoch], None]
"""Called with a training's name, as "fold 0", and what was done."""


@dataclass(frozen=True)
class CrossValidation:
    """Uncalibrated outcomes on each held-out fold; ``biased`` as in `fit_calibration`."""

    folds: Mapping[int, Sequence[ImageOutcome]]
    classes: Sequence[str] = CLASSES
    biased: bool = False

    @property
    def classifies(self) -> bool:
        """Whether there are probabilities to calibrate."""
        return all(x.probabilities for rows in self.folds.values() for x in rows)

    @property
    def calibration(self) -> Calibration:
        """The calibration over all held-out images, which a preset ships."""
        return self._fitted([x for fold in self.folds.values() for x in fold])

    def reports(self) -> dict[int, dict[str, Any]]:
        """Each fold's figures, its calibration fitted on the other folds (none if there are none)."""
        return {fold: figures(self.calibrated(fold), self.classes) for fold in self.folds}

    def outcomes(self) -> list[ImageOutcome]:
        """All held-out images, each fold calibrated by the others."""
        return [x for fold in self.folds for x in self.calibrated(fold)]

    def pooled(self) -> dict[str, Any]:
        """Figures over all held-out images."""
        return figures(self.outcomes(), self.classes)

    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of the figures over all held-out images, by name as in `named_figures`."""
        return intervals(
            self.outcomes(),
            lambda row: row.duplicate_group,
            lambda rows: named_figures(figures(rows, self.classes)),
        )

    def abstention(self, target: float = TARGET_ACCURACY) -> Abstention:
        """The confidence below which nothing is said, so that ``target`` of what is said is right.

        How often that holds is measured on each fold by the confidence found on the others.
        """
        return abstain_by_fold([self.calibrated(fold) for fold in self.folds], target)

    def calibrated(self, held_out: int) -> list[ImageOutcome]:
        """A fold's images, calibrated by the other folds."""
        others = [x for fold, rows in self.folds.items() if fold != held_out for x in rows]
        mine = [x if self._explained else replace(x, heat=None) for x in self.folds[held_out]]
        if not others or not self.classifies:
            return mine
        return apply_calibration(mine, self._fitted(others))

    @cached_property
    def _explained(self) -> bool:
        """Whether heat maps were measured in each fold: those of some folds tell nothing of all."""
        return all(any(x.heat for x in rows) for rows in self.folds.values())

    def _fitted(self, outcomes: Sequence[ImageOutcome]) -> Calibration:
        return fit_calibration(outcomes, biased=self.biased)


@dataclass(frozen=True)
class Plan:
    """One recipe on one data set: what `cross_validate` and `make_preset` go by.

    ``samples`` carry the folds of the protocol (`models.training.splits.split`). Trainings are kept
    in ``directory``: ``folds/fold-<n>``, ``logs``, ``preset``. One that holds another training is
    refused (`models.training.claim.OtherTraining`), or if ``overwrite`` rid of it.
    """

    recipe: Recipe
    start: Start
    samples: Sequence[Sample]
    directory: Path
    watch: Watch | None = None
    overwrite: bool = False

    def claim(self) -> None:
        """Make ``directory`` this plan's."""
        claim(self.directory, self.parts, overwrite=self.overwrite)

    @cached_property
    def parts(self) -> dict[str, str]:
        """Digests that tell this plan from any other, by what they are of."""
        weights = self.start.weights
        rows = [
            (image_name(x.sample), x.sample.label, x.sample.duplicate_group, x.image, x.masks)
            for x in self._marked
        ]
        return {
            "recipe": digest_of(recipe_facts(self.recipe)),
            "starting weights": file_digest(weights) if isinstance(weights, Path) else str(weights),
            "images": digest_of(sorted(rows)),
            "folds": digest_of(sorted((image_name(x), x.fold) for x in self.samples)),
        }

    def identity(self, held_out: int | None = None) -> str:
        """Tell the training without a fold, or on all images, from any other, as a digest.

        That is by recipe, starting weights and all images: a label mended in the fold held out
        makes other figures.
        """
        out = sorted(image_name(x) for x in self.samples if x.fold == held_out)
        return digest_of([out, *(x for name, x in self.parts.items() if name != "folds")])

    def seen(self, held_out: int | None = None) -> str:
        """What the training without a fold, or on all images, sees, as a preset tells it."""
        return seen_images(x.image for x in self._marked if x.sample.fold != held_out)

    @cached_property
    def _marked(self) -> list[Marked]:
        return mark(self.samples)


def cross_validate(plan: Plan, folds: Sequence[int] | None = None) -> CrossValidation:
    """Hold out each fold in turn, or only ``folds``.

    A fold that is finished, by the same recipe, start and images, is not trained again; one that
    was interrupted goes on from its last epoch. Raises `DatasetError`, and `OtherTraining` as told
    at `Plan`.
    """
    if plan.recipe.network.kind != "classifier":
        require_outlines(plan.samples)
    plan.claim()
    chosen = sorted({sample.fold for sample in plan.samples}) if folds is None else folds
    told = {fold: _hold_out(plan, fold) for fold in chosen}
    return CrossValidation(told, plan.recipe.classes, plan.recipe.reading.class_bias)


def make_preset(plan: Plan, described: Preset) -> Preset:
    """Train on all samples and save the network as ``described`` in ``directory/preset``.

    A network that is finished there is kept, and described anew. Raises as `cross_validate` does.
    """
    plan.claim()
    home, identity = plan.directory / PRESET, plan.identity()
    told = {**described.trained, "identity": identity, SEEN: plan.seen()}
    described = replace(described, trained=told)
    if (home / MANIFEST).is_file():
        kept = read_preset(home)
        if kept.trained.get("identity") == identity:
            described = replace(described, network=kept.network)
            write_preset(home, described)
            return described
    trained = _train(plan, None, home, "all images")
    saved = save_preset(home, described, trained.network)
    Checkpoint(home, identity).discard()
    return saved


def describe_preset(
    recipe: Recipe,
    checked: CrossValidation,
    samples: Sequence[Sample],
    *,
    start: Start,
    name: str,
    version: str,
    target_accuracy: float = TARGET_ACCURACY,
) -> Preset:
    """Describe the preset to be trained on ``samples``; what is measured comes from ``checked``."""
    calibration, abstention = checked.calibration, checked.abstention(target_accuracy)
    normal, benign, malignant = calibration.class_bias
    return replace(
        plain_preset(recipe),
        name=name,
        version=version,
        temperature=calibration.temperature,
        class_bias=(normal, benign, malignant),
        confidence_threshold=abstention.below,
        trained=facts(recipe, checked, samples, start=start, target_accuracy=target_accuracy),
    )


def plain_preset(recipe: Recipe) -> Preset:
    """Describe a network as it was trained, uncalibrated."""
    return Preset(
        name="fold",
        version="0",
        network=NetworkFile("", "", 0),
        mask_threshold=recipe.reading.mask_threshold,
        mask_seed_threshold=recipe.reading.mask_seed_threshold,
        mirrored=recipe.reading.mirrored,
        trained={"recipe": recipe_facts(recipe)},
    )


def facts(
    recipe: Recipe,
    checked: CrossValidation,
    samples: Sequence[Sample],
    *,
    start: Start,
    target_accuracy: float = TARGET_ACCURACY,
) -> dict[str, Any]:
    """All that was measured and how, as plain values: for ``preset.json`` and ``summary.json``."""
    reports = checked.reports()
    measured = {
        "images": len(samples),
        "folds": sorted({sample.fold for sample in samples}),
        "recipe": recipe_facts(recipe),
        "start": start.words,
        "magnification": magnification_of(samples),
        "held_out_folds": sorted(checked.folds),
        "held_out": {str(fold): report for fold, report in reports.items()},
        "held_out_spread": spread_over([named_figures(x) for x in reports.values()]),
        "held_out_pooled": checked.pooled(),
        "held_out_intervals": checked.intervals(),
    }
    if checked.classifies:
        measured["calibration"] = asdict(checked.calibration)
        measured["abstention"] = asdict(checked.abstention(target_accuracy))
    # Through JSON, so that what is described equals what is read back.
    plain: dict[str, Any] = json.loads(json.dumps(measured, allow_nan=False))
    return plain


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain values, without what changes nothing in the training."""
    return recipe.model_dump(mode="json", exclude={"tune", "published", "summary"})


def _hold_out(plan: Plan, fold: int) -> list[ImageOutcome]:
    home, identity = plan.directory / "folds" / f"fold-{fold}", plan.identity(fold)
    finished = _finished(home / OUTCOMES, identity)
    if finished is not None:
        logger.info("fold %d is finished", fold)
        return finished
    trained = _train(plan, fold, home, f"fold {fold}")
    outcomes = _scored(plan, trained, home, fold)
    losses = {"losses": trained.losses, "validation_losses": trained.validation_losses}
    write_outcomes(home / OUTCOMES, outcomes, {"identity": identity, "fold": fold, **losses})
    Checkpoint(home, identity).discard()
    _note(plan, fold, outcomes)
    return outcomes


def _finished(file: Path, identity: str) -> list[ImageOutcome] | None:
    if not file.is_file():
        return None
    try:
        outcomes, told = read_outcomes(file)
    except DatasetError as error:
        logger.warning("%s: this fold is trained anew", error)
        return None
    return outcomes if told.get("identity") == identity else None


def _train(plan: Plan, held_out: int | None, home: Path, title: str) -> Trained:
    spec = plan.recipe.training
    samples = [x for x in plan.samples if x.fold != held_out]
    rest, aside = set_aside(samples, seed=spec.seed) if spec.patience else (samples, [])
    book = Logbook(plan.directory / "logs" / title.replace(" ", "-"))

    def watch(done: Step | Epoch) -> None:
        if isinstance(done, Epoch):
            book.epoch(done.epoch, done.loss, done.validation_loss)
        if plan.watch:
            plan.watch(title, done)

    load = partial(load_inputs, spec=plan.recipe.input)
    try:
        trained = train(
            load(rest),
            plan.recipe,
            plan.start.weights,
            set_aside=load(aside) if aside else None,
            checkpoint=Checkpoint(home, plan.identity(held_out)),
            watch=watch,
        )
    finally:
        book.close()
    (home / LOSSES).write_text(json.dumps(trained.losses), encoding="utf-8")
    return trained


def _scored(plan: Plan, trained: Trained, home: Path, fold: int) -> list[ImageOutcome]:
    """Save a fold's network and ask it about the images held out."""
    recipe, held_out = plan.recipe, [x for x in plan.samples if x.fold == fold]
    if recipe.network.kind == "joint":
        plain = plain_preset(recipe)
        told = {**plain.trained, SEEN: plan.seen(fold)}
        save_preset(home, replace(plain, trained=told), trained.network)
        return outcomes_of(preset_asker(home), held_out)
    save_weights(home, trained.network)
    (home / "recipe.json").write_text(recipe.model_dump_json(indent=2), encoding="utf-8")
    return outcomes_of(network_asker(trained.network, recipe), held_out)


def _note(plan: Plan, fold: int, outcomes: Sequence[ImageOutcome]) -> None:
    values = named_figures(figures(outcomes, plan.recipe.classes))
    book = Logbook(plan.directory / "logs" / f"fold-{fold}")
    book.figures(values)
    book.close()
    logger.info("fold %d: %s", fold, {key: round(x, 3) for key, x in values.items()})
