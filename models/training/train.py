"""The training loop for the network of any recipe.

Importing this module loads TensorFlow. A seed fixes initial weights, order and augmentation;
multithreaded sums still differ in their last digits between runs.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.data.dataset import SampleArrays
from models.data.inputs import add_channel_axis
from models.networks.backbone import BaseWeights
from models.recipe import Recipe, TrainingSpec
from models.training.batches import (
    class_weights,
    count_batches,
    sequential_batches,
    training_batches,
)
from models.training.checkpoint import Checkpoint, State, TrainingHistory, get_state, set_state
from models.training.initial_weights import build_initial_network, get_encoder
from models.training.losses import build_losses
from models.training.optimizers import build_optimizer

logger = logging.getLogger(__name__)

PLATEAU_EPOCHS = 3
PLATEAU_FACTOR = 0.5


@dataclass(frozen=True)
class BatchProgress:
    """Progress after a batch. Numbers count from 1; ``loss`` is the epoch's mean so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float


@dataclass(frozen=True)
class EpochProgress:
    """Progress after an epoch. ``validation_loss`` is None without validation data."""

    epoch: int
    loss: float
    validation_loss: float | None


ProgressCallback = Callable[[BatchProgress | EpochProgress], None]


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with its losses by epoch."""

    network: keras.Model
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


def train(
    data: SampleArrays,
    recipe: Recipe,
    weights: BaseWeights = None,
    *,
    validation_data: SampleArrays | None = None,
    checkpoint: Checkpoint | None = None,
    on_progress: ProgressCallback | None = None,
) -> TrainedNetwork:
    """Train a recipe's network, continuing from ``checkpoint`` if it exists.

    With validation data, training stops after ``patience`` epochs without a lower validation loss
    and returns the weights of the best epoch. With ``ema_momentum``, it returns the exponential
    moving average of the weights.
    """
    keras.utils.set_random_seed(recipe.training.seed)
    with _mixed_precision(recipe.training):
        network = build_initial_network(recipe, weights, data)
        encoder = get_encoder(network)
        encoder_variables = [] if encoder is None else encoder.trainable_variables
        batches = count_batches(data.labels, recipe)
        optimizer = build_optimizer(recipe.training, encoder_variables, batches)
        network.compile(optimizer, build_losses(recipe))
        network.optimizer.build(network.trainable_variables)
    loop = _TrainingLoop(network, recipe, data, validation_data, checkpoint, on_progress)
    return loop.run()


@dataclass
class _TrainingLoop:
    network: keras.Model
    recipe: Recipe
    data: SampleArrays
    validation_data: SampleArrays | None
    checkpoint: Checkpoint | None
    on_progress: ProgressCallback | None
    history: TrainingHistory = field(default_factory=TrainingHistory)
    best: State = field(default_factory=list)

    def run(self) -> TrainedNetwork:
        spec, rng = self.recipe.training, np.random.default_rng(self.recipe.training.seed)
        if self.checkpoint:
            self.history, self.best = self.checkpoint.resume(self.network, rng)
        while len(self.history.losses) < spec.epochs:
            if self.validation_data and 0 < spec.patience <= self.history.epochs_since_best:
                break
            self._run_epoch(rng)
            if self.checkpoint:
                self.checkpoint.save(self.network, rng, self.history, self.best)
        if self.best:
            set_state(self.network, self.best)
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        return TrainedNetwork(self.network, self.history.losses, self.history.validation_losses)

    def _run_epoch(self, rng: np.random.Generator) -> None:
        started, history = time.monotonic(), self.history
        history.losses.append(self._train_batches(rng))
        validation_loss = None
        if self.validation_data is not None:
            validation_loss = self._validation_loss(self.validation_data)
            history.validation_losses.append(validation_loss)
            if not history.epochs_since_best:
                self.best = get_state(self.network)
        self._reduce_rate_on_plateau()
        epoch, loss, seconds = len(history.losses), history.losses[-1], time.monotonic() - started
        validation = "" if validation_loss is None else f", validation loss {validation_loss:.4f}"
        logger.info("epoch %d: loss %.4f%s, %.0f s", epoch, loss, validation, seconds)
        self._report(EpochProgress(epoch, loss, validation_loss))

    def _train_batches(self, rng: np.random.Generator) -> float:
        spec, losses = self.recipe.training, list[float]()
        epoch, batches = len(self.history.losses) + 1, count_batches(self.data.labels, self.recipe)
        weights = class_weights(self.data.labels) if spec.balance == "class-weights" else None
        for batch in training_batches(self.data, self.recipe, rng):
            loss = self.network.train_on_batch(*_to_keras(batch, self.recipe, weights))
            losses.append(_total_loss(loss))
            count, mean = len(losses), float(np.mean(losses))
            self._report(BatchProgress(epoch, spec.epochs, count, max(batches, count), mean))
        return float(np.mean(losses))

    def _validation_loss(self, data: SampleArrays) -> float:
        losses, sizes = [], []
        for batch in sequential_batches(data, self.recipe.training.batch_size):
            loss = self.network.test_on_batch(*_to_keras(batch, self.recipe, None))
            losses.append(_total_loss(loss))
            sizes.append(len(batch))
        return float(np.average(losses, weights=sizes))

    def _reduce_rate_on_plateau(self) -> None:
        spec, stalled = self.recipe.training, self.history.epochs_since_best
        if spec.schedule != "plateau" or not stalled or stalled % PLATEAU_EPOCHS:
            return
        rate = float(self.network.optimizer.learning_rate) * PLATEAU_FACTOR
        lowest = spec.learning_rate * spec.final_lr_fraction
        self.network.optimizer.learning_rate = max(rate, lowest)

    def _report(self, progress: BatchProgress | EpochProgress) -> None:
        if self.on_progress:
            self.on_progress(progress)


def _to_keras(
    batch: SampleArrays, recipe: Recipe, weights: NDArray[np.float32] | None
) -> tuple[Any, ...]:
    """Return inputs, targets and, with class weights, sample weights for `train_on_batch`."""
    pixels = add_channel_axis(batch.pixels)
    classes = np.eye(len(recipe.classes), dtype=np.float32)[batch.labels]
    lesion = batch.lesions[..., None].astype(np.float32)
    targets = {"classifier": classes, "segmenter": lesion}.get(
        recipe.network.kind, {"class": classes, "lesion": lesion}
    )
    if weights is None:
        return pixels, targets
    by_image = weights[batch.labels]
    if recipe.network.kind == "joint":
        return pixels, targets, {"class": by_image, "lesion": np.ones_like(by_image)}
    return pixels, targets, by_image


@contextmanager
def _mixed_precision(spec: TrainingSpec) -> Iterator[None]:
    """Use half precision if the recipe asks for it and there is a GPU; CPUs gain nothing."""
    before = keras.config.dtype_policy()
    if spec.mixed_precision and keras.distribution.list_devices("gpu"):
        keras.config.set_dtype_policy("mixed_float16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _total_loss(loss: Any) -> float:
    # Keras returns the total first, then the losses of the outputs.
    return float(np.ravel(loss)[0])
