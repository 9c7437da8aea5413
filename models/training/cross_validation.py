"""Cross-validation of a recipe, and training of the preset whose metrics it measures.

Each fold is held out once and scored by a network trained on the other folds. Held-out images are
not used for any choice: the number of epochs is fixed or determined by a validation split of the
training images, and a fold is calibrated by the results of the other folds. For joint recipes,
which both classify and segment, a network is then trained in the same way on all folds. Importing
this module loads TensorFlow.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dicom.terms.classification import CLASSES
from models.data.dataset import Sample, common_magnification, require_annotations
from models.data.digests import (
    TRAINING_IMAGES,
    HashedSample,
    digest_values,
    file_digest,
    hash_samples,
    list_training_images,
)
from models.data.inputs import load_inputs
from models.data.splits import split_validation
from models.evaluation.bootstrap import Interval, bootstrap_intervals
from models.evaluation.calibration import (
    TARGET_ACCURACY,
    Calibration,
    ConfidenceThreshold,
    apply_calibration,
    cross_validate_threshold,
    fit_calibration,
)
from models.preset import MANIFEST, NetworkFile, Preset, read_preset, write_preset
from models.recipe import Recipe
from models.training.checkpoint import Checkpoint
from models.training.held_out import (
    HELD_OUT_FILE,
    HeldOutResult,
    compute_metrics,
    flatten_metrics,
    image_name,
    read_held_out,
    score_held_out,
    write_held_out,
)
from models.training.initial_weights import InitialWeights
from models.training.loss_history import LOSSES_FILE
from models.training.predictions import network_sample_predictor, preset_sample_predictor
from models.training.run_directory import prepare_run_directory
from models.training.saving import save_preset, save_weights
from models.training.summary import summarize_folds
from models.training.tensorboard_log import TensorBoardLog
from models.training.train import BatchProgress, EpochProgress, TrainedNetwork, train
from models.types import DatasetError

logger = logging.getLogger(__name__)

PRESET = "preset"
"""Name of the preset directory within a run directory."""

RunProgressCallback = Callable[[str, BatchProgress | EpochProgress], None]
"""Called with the title of a training, such as "fold 0", and its progress."""


@dataclass(frozen=True)
class CrossValidation:
    """Uncalibrated results of each held-out fold.

    ``class_bias``: calibration fits a bias per class (`fit_calibration`).
    """

    folds: Mapping[int, Sequence[HeldOutResult]]
    classes: Sequence[str] = CLASSES
    class_bias: bool = False

    @property
    def classifies(self) -> bool:
        """Whether there are class probabilities to calibrate."""
        return all(x.probabilities for results in self.folds.values() for x in results)

    @property
    def calibration(self) -> Calibration:
        """The calibration fitted on all folds, which the preset uses."""
        return self._fit([x for results in self.folds.values() for x in results])

    def calibrated(self, held_out: int) -> list[HeldOutResult]:
        """Return the results of a fold, calibrated by the other folds if there are any."""
        others = [x for fold, rows in self.folds.items() if fold != held_out for x in rows]
        results = list(self.folds[held_out])
        # Localization metrics of some folds would not be comparable with the other metrics.
        if not all(any(x.localization for x in rows) for rows in self.folds.values()):
            results = [replace(x, localization=None) for x in results]
        if not others or not self.classifies:
            return results
        return apply_calibration(results, self._fit(others))

    def all_calibrated(self) -> list[HeldOutResult]:
        """Return the results of all folds, each calibrated by the others."""
        return [x for fold in self.folds for x in self.calibrated(fold)]

    def metrics_by_fold(self) -> dict[int, dict[str, Any]]:
        """Return the metrics of each fold after calibration by the others."""
        return {fold: compute_metrics(self.calibrated(fold), self.classes) for fold in self.folds}

    def pooled_metrics(self) -> dict[str, Any]:
        """Return metrics over all held-out images."""
        return compute_metrics(self.all_calibrated(), self.classes)

    def intervals(self) -> dict[str, Interval]:
        """Return 95 % intervals of the pooled metrics, by name as in `flatten_metrics`."""
        return bootstrap_intervals(
            self.all_calibrated(),
            lambda result: result.duplicate_group,
            lambda results: flatten_metrics(compute_metrics(results, self.classes)),
        )

    def confidence_threshold(self, target_accuracy: float = TARGET_ACCURACY) -> ConfidenceThreshold:
        """Find the confidence threshold that reaches ``target_accuracy``.

        Coverage and accuracy are measured on each fold with the threshold of the others.
        """
        folds = [self.calibrated(fold) for fold in self.folds]
        return cross_validate_threshold(folds, target_accuracy)

    def _fit(self, results: Sequence[HeldOutResult]) -> Calibration:
        return fit_calibration(results, class_bias=self.class_bias)


@dataclass(frozen=True)
class TrainingRun:
    """The training of one recipe on one dataset.

    ``samples`` have the folds of `models.data.splits.assign_folds`. ``directory`` receives
    ``folds/fold-<n>``, ``logs`` and ``preset``; ``overwrite`` removes another run from it first.
    """

    recipe: Recipe
    initial_weights: InitialWeights
    samples: Sequence[Sample]
    directory: Path
    on_progress: RunProgressCallback | None = None
    overwrite: bool = False

    def prepare_directory(self) -> None:
        """Create the directory, or continue in it.

        Raises:
            RunDirectoryOccupied: it contains another run, and ``overwrite`` is false.
        """
        prepare_run_directory(self.directory, self.digests, overwrite=self.overwrite)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests that identify the run, by what they are computed from."""
        weights = self.initial_weights.weights
        rows = [
            (
                image_name(x.sample),
                x.sample.label,
                x.sample.duplicate_group,
                x.image_sha256,
                x.mask_sha256,
            )
            for x in self._hashed_samples
        ]
        return {
            "recipe": digest_values(recipe_values(self.recipe)),
            "initial weights": file_digest(weights) if isinstance(weights, Path) else str(weights),
            "images": digest_values(sorted(rows)),
            "folds": digest_values(sorted((image_name(x), x.fold) for x in self.samples)),
        }

    def identity(self, held_out: int | None = None) -> str:
        """Return a digest that identifies the training without a fold, or on all images.

        It covers recipe, initial weights and all images, also the held-out ones, because a
        corrected label there changes the metrics.
        """
        names = sorted(image_name(x) for x in self.samples if x.fold == held_out)
        return digest_values([names, *(x for key, x in self.digests.items() if key != "folds")])

    def training_images(self, held_out: int | None = None) -> str:
        """Return the images of the training without a fold, or of all, for `Preset.trained`."""
        return list_training_images(
            x.image_sha256 for x in self._hashed_samples if x.sample.fold != held_out
        )

    @cached_property
    def _hashed_samples(self) -> list[HashedSample]:
        return hash_samples(self.samples)


def cross_validate(run: TrainingRun, folds: Sequence[int] | None = None) -> CrossValidation:
    """Hold out each fold in turn, or only ``folds``.

    Finished folds of the same run are not trained again; an interrupted training continues after
    its last epoch.

    Raises:
        DatasetError: a lesion is not annotated and the recipe segments.
        RunDirectoryOccupied: as for `TrainingRun.prepare_directory`.
    """
    if run.recipe.network.kind != "classifier":
        require_annotations(run.samples)
    run.prepare_directory()
    chosen = sorted({sample.fold for sample in run.samples}) if folds is None else folds
    results = {fold: _finished_fold(run, fold) or _train_fold(run, fold) for fold in chosen}
    return CrossValidation(results, run.recipe.classes, run.recipe.inference.class_bias)


def train_preset(run: TrainingRun, description: Preset) -> Preset:
    """Train on all samples and save the preset as ``directory/preset``.

    If it has been trained before, only the description is written again.

    Raises:
        RunDirectoryOccupied: as for `TrainingRun.prepare_directory`.
    """
    run.prepare_directory()
    home, identity = run.directory / PRESET, run.identity()
    trained = {
        **description.trained,
        "identity": identity,
        TRAINING_IMAGES: run.training_images(),
    }
    description = replace(description, trained=trained)
    if (home / MANIFEST).is_file():
        existing = read_preset(home)
        if existing.trained.get("identity") == identity:
            description = replace(description, network=existing.network)
            write_preset(home, description)
            return description
    network = _train_network(run, None, home, "all images").network
    saved = save_preset(home, description, network)
    Checkpoint(home, identity).discard()
    return saved


def describe_preset(
    recipe: Recipe,
    cross_validation: CrossValidation,
    samples: Sequence[Sample],
    *,
    initial_weights: InitialWeights,
    name: str,
    version: str,
    target_accuracy: float = TARGET_ACCURACY,
) -> Preset:
    """Describe the preset to be trained on ``samples``, with cross-validated metrics."""
    normal, benign, malignant = cross_validation.calibration.class_bias
    return replace(
        uncalibrated_preset(recipe),
        name=name,
        version=version,
        temperature=cross_validation.calibration.temperature,
        class_bias=(normal, benign, malignant),
        confidence_threshold=cross_validation.confidence_threshold(target_accuracy).threshold,
        trained=collect_results(
            recipe,
            cross_validation,
            samples,
            initial_weights=initial_weights,
            target_accuracy=target_accuracy,
        ),
    )


def uncalibrated_preset(recipe: Recipe) -> Preset:
    """Describe the preset of a single fold, which is not calibrated."""
    return Preset(
        name="fold",
        version="0",
        network=NetworkFile("", "", 0),
        mask_threshold=recipe.inference.mask_threshold,
        mask_seed_threshold=recipe.inference.mask_seed_threshold,
        mirrored=recipe.inference.mirrored,
        trained={"recipe": recipe_values(recipe)},
    )


def collect_results(
    recipe: Recipe,
    cross_validation: CrossValidation,
    samples: Sequence[Sample],
    *,
    initial_weights: InitialWeights,
    target_accuracy: float = TARGET_ACCURACY,
) -> dict[str, Any]:
    """Return metrics and settings as plain values, for ``preset.json`` and ``summary.json``."""
    by_fold = cross_validation.metrics_by_fold()
    results = {
        "images": len(samples),
        "folds": sorted({sample.fold for sample in samples}),
        "recipe": recipe_values(recipe),
        "initial_weights": initial_weights.description,
        "magnification": common_magnification(samples),
        "held_out_folds": sorted(cross_validation.folds),
        "held_out": {str(fold): metrics for fold, metrics in by_fold.items()},
        "held_out_spread": summarize_folds([flatten_metrics(x) for x in by_fold.values()]),
        "held_out_pooled": cross_validation.pooled_metrics(),
        "held_out_intervals": cross_validation.intervals(),
    }
    if cross_validation.classifies:
        results["calibration"] = asdict(cross_validation.calibration)
        threshold = cross_validation.confidence_threshold(target_accuracy)
        results["confidence_threshold"] = asdict(threshold)
    # Tuples become lists, so that the result equals what is read from a file.
    plain: dict[str, Any] = json.loads(json.dumps(results, allow_nan=False))
    return plain


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, without parts that do not affect training."""
    return recipe.model_dump(mode="json", exclude={"tune", "published", "summary"})


def _finished_fold(run: TrainingRun, fold: int) -> list[HeldOutResult] | None:
    """Read the results of a fold that the same run has finished."""
    file = run.directory / "folds" / f"fold-{fold}" / HELD_OUT_FILE
    if not file.is_file():
        return None
    try:
        results, values = read_held_out(file)
    except DatasetError as error:
        logger.warning("%s; training this fold again", error)
        return None
    if values.get("identity") != run.identity(fold):
        return None
    logger.info("fold %d was finished before", fold)
    return results


def _train_fold(run: TrainingRun, fold: int) -> list[HeldOutResult]:
    """Train without a fold, save the network and score it on the fold."""
    home, identity = run.directory / "folds" / f"fold-{fold}", run.identity(fold)
    title, recipe = f"fold {fold}", run.recipe
    trained = _train_network(run, fold, home, title)
    if recipe.network.kind == "joint":
        preset = uncalibrated_preset(recipe)
        values = {**preset.trained, TRAINING_IMAGES: run.training_images(fold)}
        save_preset(home, replace(preset, trained=values), trained.network)
        predict = preset_sample_predictor(home)
    else:
        save_weights(home, trained.network)
        (home / "recipe.json").write_text(recipe.model_dump_json(indent=2), encoding="utf-8")
        predict = network_sample_predictor(trained.network, recipe)
    results = score_held_out(predict, [x for x in run.samples if x.fold == fold])
    losses = {"losses": trained.losses, "validation_losses": trained.validation_losses}
    write_held_out(home / HELD_OUT_FILE, results, {"identity": identity, "fold": fold, **losses})
    Checkpoint(home, identity).discard()

    metrics = flatten_metrics(compute_metrics(results, recipe.classes))
    log = TensorBoardLog(_log_directory(run, title))
    log.log_metrics(metrics)
    log.close()
    logger.info("%s: %s", title, {key: round(x, 3) for key, x in metrics.items()})
    return results


def _train_network(
    run: TrainingRun, held_out: int | None, home: Path, title: str
) -> TrainedNetwork:
    spec = run.recipe.training
    training = [x for x in run.samples if x.fold != held_out]
    validation: list[Sample] = []
    if spec.patience:
        training, validation = split_validation(training, seed=spec.seed)
    log = TensorBoardLog(_log_directory(run, title))

    def on_progress(progress: BatchProgress | EpochProgress) -> None:
        if isinstance(progress, EpochProgress):
            log.log_epoch(progress.epoch, progress.loss, progress.validation_loss)
        if run.on_progress:
            run.on_progress(title, progress)

    load = partial(load_inputs, spec=run.recipe.input)
    try:
        trained = train(
            load(training),
            run.recipe,
            run.initial_weights.weights,
            validation_data=load(validation) if validation else None,
            checkpoint=Checkpoint(home, run.identity(held_out)),
            on_progress=on_progress,
        )
    finally:
        log.close()
    (home / LOSSES_FILE).write_text(json.dumps(trained.losses), encoding="utf-8")
    return trained


def _log_directory(run: TrainingRun, title: str) -> Path:
    return run.directory / "logs" / title.replace(" ", "-")
