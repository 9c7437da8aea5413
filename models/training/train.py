"""Training of any recipe's network, with plain loops on whatever device Keras has.

Importing this module loads TensorFlow. A seed fixes starting weights, order and augmentation;
sums over several threads still differ in their last digits from run to run.
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

from models.networks.backbone import BaseWeights
from models.recipe import Recipe, TrainingSpec
from models.training.batches import batches, class_weights, epoch_batches, plain_batches
from models.training.checkpoint import Checkpoint, Course, State, restore, state_of
from models.training.dataset import SampleArrays
from models.training.inputs import as_input
from models.training.losses import losses_of
from models.training.optimizers import make_optimizer
from models.training.start import encoder_of, start_network

logger = logging.getLogger(__name__)

PLATEAU_EPOCHS = 3
PLATEAU_FACTOR = 0.5


@dataclass(frozen=True)
class Step:
    """One batch done, for who watches: all count from 1, ``loss`` is the epoch's mean so far."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float


@dataclass(frozen=True)
class Epoch:
    """One epoch done; ``validation_loss`` is None where nothing is set aside."""

    epoch: int
    loss: float
    validation_loss: float | None


Watch = Callable[[Step | Epoch], None]


@dataclass(frozen=True)
class Trained:
    """A trained network and its losses, epoch by epoch."""

    network: keras.Model
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


def train(
    data: SampleArrays,
    recipe: Recipe,
    weights: BaseWeights = None,
    *,
    set_aside: SampleArrays | None = None,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train a recipe's network on ``data``, going on from ``checkpoint`` where there is one.

    With ``set_aside`` images, training ends after ``patience`` epochs in which their loss did not
    fall, and the best epoch's weights are kept. With weight averaging, what is kept is the running
    average of the weights over the last ``1 / (1 - weight_averaging)`` steps or so.
    """
    keras.utils.set_random_seed(recipe.training.seed)
    with _precision(recipe.training):
        network = start_network(recipe, weights, data)
        _compile(network, recipe, data.labels)
    training = _Training(network, recipe, data, set_aside, checkpoint, watch or _ignore)
    return training.run()


@dataclass
class _Training:
    network: keras.Model
    recipe: Recipe
    data: SampleArrays
    set_aside: SampleArrays | None
    checkpoint: Checkpoint | None
    watch: Watch
    course: Course = field(default_factory=Course)
    best: State = field(default_factory=list)

    def run(self) -> Trained:
        rng = np.random.default_rng(self.recipe.training.seed)
        if self.checkpoint:
            self.course, self.best = self.checkpoint.resume(self.network, rng)
        while not self._is_over():
            self._epoch(rng)
            if self.checkpoint:
                self.checkpoint.save(self.network, rng, self.course, self.best)
        if self.best:
            restore(self.network, self.best)
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        return Trained(self.network, self.course.losses, self.course.validation_losses)

    def _is_over(self) -> bool:
        spec, done = self.recipe.training, len(self.course.losses)
        tired = self.set_aside is not None and 0 < spec.patience <= self.course.stalled
        return done >= spec.epochs or tired

    def _epoch(self, rng: np.random.Generator) -> None:
        started = time.monotonic()
        self.course.losses.append(self._pass(rng))
        if self.set_aside is not None:
            self.course.validation_losses.append(self._validation_loss(self.set_aside))
            if not self.course.stalled:
                self.best = state_of(self.network)
        self._slow_down()
        self._tell(time.monotonic() - started)

    def _pass(self, rng: np.random.Generator) -> float:
        spec, losses = self.recipe.training, list[float]()
        expected = epoch_batches(self.data.labels, self.recipe)
        weights = class_weights(self.data.labels) if spec.balance == "class-weights" else None
        for batch in batches(self.data, self.recipe, rng):
            loss = self.network.train_on_batch(*_fed(batch, self.recipe, weights))
            losses.append(_first(loss))
            self.watch(
                Step(
                    len(self.course.losses) + 1, spec.epochs,
                    len(losses), max(expected, len(losses)), float(np.mean(losses)),
                )
            )  # fmt: skip
        return float(np.mean(losses))

    def _validation_loss(self, data: SampleArrays) -> float:
        size = self.recipe.training.batch_size
        losses, counts = [], []
        for batch in plain_batches(data, size):
            losses.append(_first(self.network.test_on_batch(*_fed(batch, self.recipe, None))))
            counts.append(len(batch))
        return float(np.average(losses, weights=counts))

    def _slow_down(self) -> None:
        """Halve the rate on a plateau."""
        spec, stalled = self.recipe.training, self.course.stalled
        if spec.schedule != "plateau" or not stalled or stalled % PLATEAU_EPOCHS:
            return
        rate = float(self.network.optimizer.learning_rate) * PLATEAU_FACTOR
        lowest = spec.learning_rate * spec.final_rate_share
        self.network.optimizer.learning_rate = max(rate, lowest)

    def _tell(self, seconds: float) -> None:
        number, loss = len(self.course.losses), self.course.losses[-1]
        held = self.course.validation_losses[-1] if self.course.validation_losses else None
        aside = "" if held is None else f", on images set aside {held:.4f}"
        logger.info("epoch %d: loss %.4f%s, %.0f s", number, loss, aside, seconds)
        self.watch(Epoch(number, loss, held))


def _compile(network: keras.Model, recipe: Recipe, labels: NDArray[np.int64]) -> None:
    encoder = encoder_of(network)
    slow = [] if encoder is None else encoder.trainable_variables
    optimizer = make_optimizer(recipe.training, slow, epoch_batches(labels, recipe))
    network.compile(optimizer, losses_of(recipe))
    network.optimizer.build(network.trainable_variables)


def _fed(
    batch: SampleArrays, recipe: Recipe, weights: NDArray[np.float32] | None
) -> tuple[Any, ...]:
    """Inputs, targets and weights as `train_on_batch` takes them."""
    classes = np.eye(len(recipe.classes), dtype=np.float32)[batch.labels]
    lesion = batch.lesions[..., None].astype(np.float32)
    targets = {"classifier": classes, "segmenter": lesion}.get(
        recipe.network.kind, {"class": classes, "lesion": lesion}
    )
    if weights is None:
        return as_input(batch.pixels), targets
    by_image = weights[batch.labels]
    if recipe.network.kind == "joint":
        return (
            as_input(batch.pixels),
            targets,
            {"class": by_image, "lesion": np.ones_like(by_image)},
        )
    return as_input(batch.pixels), targets, by_image


@contextmanager
def _precision(spec: TrainingSpec) -> Iterator[None]:
    """Half precision where the recipe wants it and the device gains by it; a CPU does not."""
    before = keras.config.dtype_policy()
    if spec.mixed_precision and keras.distribution.list_devices("gpu"):
        keras.config.set_dtype_policy("mixed_float16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _first(loss: Any) -> float:
    """The total, before the losses of single outputs."""
    return float(np.ravel(loss)[0])


def _ignore(_: Step | Epoch) -> None:
    pass
