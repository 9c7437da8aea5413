"""Training of the two networks, with plain loops on whatever device Keras has.

Importing this module loads TensorFlow. A seed fixes starting weights, order and augmentation;
sums over several threads still differ in their last digits from run to run.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.networks.backbone import (
    BaseWeights,
    build_backbone,
    settle_batch_norm,
    spread_batch_norm,
)
from models.networks.classifier import build_classifier
from models.networks.layers import Tensor
from models.networks.segmenter import build_segmenter
from models.training.augment import augment_batch
from models.training.dataset import SampleArrays
from models.types import CLASSES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How one network is trained. ``patience`` epochs without gain on validation end it."""

    epochs: int
    size_px: int = 224
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    label_smoothing: float = 0.05
    hidden_units: int = 0
    seed: int = 0
    patience: int = 6
    backbone: BaseWeights = "imagenet"


@dataclass(frozen=True)
class Trained:
    """A trained network and its losses, epoch by epoch (validation: empty without one)."""

    network: keras.Model
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


def train_classifier(
    train: SampleArrays, config: TrainingConfig, *, validation: SampleArrays | None = None
) -> Trained:
    """Train the classifier, classes weighted by how rare they are.

    With ``validation`` it stops early and keeps the best epoch's weights; without, it runs all
    epochs, and no choice depends on data that may later serve for scoring.
    """
    keras.utils.set_random_seed(config.seed)
    backbone = _start(train, config)
    network = build_classifier(backbone, hidden_units=config.hidden_units)
    counts = np.bincount(train.labels, minlength=len(CLASSES))
    weights = len(train) / (len(CLASSES) * np.maximum(counts, 1))
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    _compile(network, loss, len(train), config)
    return _fit(network, train, validation, config, lambda batch: _classes(batch, weights))


def train_segmenter(
    train: SampleArrays, config: TrainingConfig, *, validation: SampleArrays | None = None
) -> Trained:
    """Train the segmenter on all images: those of normal tissue teach it to outline nothing."""
    keras.utils.set_random_seed(config.seed)
    network = build_segmenter(_start(train, config))
    _compile(network, overlap_loss, len(train), config)
    return _fit(network, train, validation, config, _lesions)


def overlap_loss(truth: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice (Milletari 2016), the overlap taken image by image.

    So a small lesion counts as much as a large one. The 1 added to both sides of the fraction
    makes an empty outline right, and any other wrong, where there is no lesion.
    """
    probability = keras.ops.sigmoid(logits)
    pixels = (1, 2, 3)
    overlap = 2 * keras.ops.sum(truth * probability, pixels) + 1.0
    total = keras.ops.sum(truth, pixels) + keras.ops.sum(probability, pixels) + 1.0
    entropy = keras.ops.mean(
        keras.losses.binary_crossentropy(truth, logits, from_logits=True), (1, 2)
    )
    return entropy + 1 - overlap / total


def _start(train: SampleArrays, config: TrainingConfig) -> keras.Model:
    backbone = build_backbone(config.size_px, config.backbone)
    some = np.random.default_rng(config.seed).permutation(len(train))[:64]
    gray = train.pixels[np.sort(some), ..., None].astype(np.float32)
    prepare = settle_batch_norm if config.backbone is None else spread_batch_norm
    prepare(backbone, np.repeat(gray / 127.5 - 1, 3, axis=-1))
    return backbone


def _compile(
    network: keras.Model, loss: Callable[..., Tensor], images: int, config: TrainingConfig
) -> None:
    steps = config.epochs * -(-images // config.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 10,
        decay_steps=max(1, steps - steps // 10),
        warmup_target=config.learning_rate,
        warmup_steps=max(1, steps // 10),
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, clipnorm=1.0)
    network.compile(optimizer, loss)


_Targets = Callable[[SampleArrays], tuple[NDArray[np.float32], NDArray[np.float32] | None]]


def _classes(
    batch: SampleArrays, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    one_hot = np.eye(len(CLASSES), dtype=np.float32)[batch.labels]
    return one_hot, weights[batch.labels].astype(np.float32)


def _lesions(batch: SampleArrays) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    return batch.lesions[..., None].astype(np.float32), None


def _fit(
    network: keras.Model,
    train: SampleArrays,
    validation: SampleArrays | None,
    config: TrainingConfig,
    targets: _Targets,
) -> Trained:
    rng = np.random.default_rng(config.seed)
    trained = Trained(network)
    best: list[Any] = []
    for epoch in range(config.epochs):
        started = time.monotonic()
        trained.losses.append(_epoch(network, _shuffled(train, config.batch_size, rng), targets))
        if validation is not None:
            trained.validation_losses.append(_validate(network, validation, config, targets))
            if trained.validation_losses[-1] == min(trained.validation_losses):
                best = network.get_weights()
        _report(epoch, trained, time.monotonic() - started)
        if _stalled(trained.validation_losses, config.patience):
            break
    if best:
        network.set_weights(best)
    return trained


def _epoch(network: keras.Model, batches: Iterator[SampleArrays], targets: _Targets) -> float:
    losses = [
        float(network.train_on_batch(batch.pixels[..., None], *targets(batch))) for batch in batches
    ]
    return float(np.mean(losses))


def _validate(
    network: keras.Model, data: SampleArrays, config: TrainingConfig, targets: _Targets
) -> float:
    losses = [
        float(network.test_on_batch(batch.pixels[..., None], *targets(batch)))
        for batch in _in_order(data, config.batch_size)
    ]
    return float(np.mean(losses))


def _report(epoch: int, trained: Trained, seconds: float) -> None:
    checked = trained.validation_losses[-1:] or [float("nan")]
    logger.info(
        "%s epoch %d: loss %.4f, validation %.4f, %.0f s",
        trained.network.name, epoch + 1, trained.losses[-1], checked[0], seconds,
    )  # fmt: skip


def _stalled(losses: list[float], patience: int) -> bool:
    return len(losses) > patience and min(losses[-patience:]) > min(losses)


def _shuffled(
    data: SampleArrays, batch_size: int, rng: np.random.Generator
) -> Iterator[SampleArrays]:
    order = rng.permutation(len(data))
    for start in range(0, len(order), batch_size):
        batch = _pick(data, order[start : start + batch_size])
        yield SampleArrays(*augment_batch(batch.pixels, batch.lesions, rng), batch.labels)


def _in_order(data: SampleArrays, batch_size: int) -> Iterator[SampleArrays]:
    for start in range(0, len(data), batch_size):
        yield _pick(data, np.arange(start, min(start + batch_size, len(data))))


def _pick(data: SampleArrays, rows: NDArray[np.int64]) -> SampleArrays:
    return SampleArrays(data.pixels[rows], data.lesions[rows], data.labels[rows])
