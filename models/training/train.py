"""Training of the network, with plain loops on whatever device Keras has.

Importing this module loads TensorFlow. A seed fixes starting weights, order and augmentation;
sums over several threads still differ in their last digits from run to run.
"""

import logging
import time
from collections.abc import Iterator
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
from models.networks.joint import build_joint
from models.networks.layers import Tensor
from models.training.augment import augment_batch
from models.training.dataset import SampleArrays
from models.types import CLASSES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained, for a number of epochs fixed beforehand.

    ``learning_rate`` is the highest, of what starts at random; the backbone learns at
    ``backbone_share`` of it, and up to the layer ``frozen_to`` not at all.
    """

    epochs: int = 20
    size_px: int = 256
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    backbone_share: float = 0.1
    frozen_to: str = "block_2_add"
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    dropout: float = 0.4
    seed: int = 0
    backbone: BaseWeights = "imagenet"


@dataclass(frozen=True)
class Trained:
    """A trained network and its losses, epoch by epoch."""

    network: keras.Model
    losses: list[float] = field(default_factory=list)


def train(data: SampleArrays, config: TrainingConfig) -> Trained:
    """Train class and outline together; normal images teach to outline nothing."""
    keras.utils.set_random_seed(config.seed)
    backbone = _start(data, config)
    network = build_joint(backbone, dropout=config.dropout)
    classes = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    network.compile(
        _optimizer(backbone, len(data), config), {"class": classes, "lesion": overlap_loss}
    )
    rng = np.random.default_rng(config.seed)
    trained = Trained(network)
    for epoch in range(config.epochs):
        started = time.monotonic()
        trained.losses.append(_epoch(network, _batches(data, config.batch_size, rng)))
        logger.info(
            "epoch %d: loss %.4f, %.0f s",
            epoch + 1, trained.losses[-1], time.monotonic() - started,
        )  # fmt: skip
    return trained


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


def balanced_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle rows for one epoch, ``len(labels)`` of them or one more or less.

    A row comes as often as its class is rare, by the root of that: a compromise between learning
    the rare class and keeping the probabilities near what images in the wild would ask for.
    """
    share = np.bincount(labels)[labels] ** -0.5
    edges = np.cumsum(share / share.sum() * len(labels)) + rng.random()
    times = np.diff(np.floor(edges), prepend=0).astype(int)
    return rng.permutation(np.repeat(np.arange(len(labels)), times))


class SplitRateAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # keras ships no types
    """AdamW under which some variables learn at a share of the rate."""

    def __init__(self, slow: list[Tensor], share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._slow, self._share = slow, share

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        # TensorFlow hands over its own variable, not the Keras variable around it.
        slow = any(variable is x or variable is x.value for x in self._slow)
        rate = learning_rate * self._share if slow else learning_rate
        super().update_step(gradient, variable, rate)


def _start(data: SampleArrays, config: TrainingConfig) -> keras.Model:
    backbone = build_backbone(config.size_px, config.backbone)
    some = np.random.default_rng(config.seed).permutation(len(data))[:64]
    gray = data.pixels[np.sort(some), ..., None].astype(np.float32)
    prepare = settle_batch_norm if config.backbone is None else spread_batch_norm
    prepare(backbone, np.repeat(gray / 127.5 - 1, 3, axis=-1))
    if config.backbone is not None:
        _freeze(backbone, config.frozen_to)
    return backbone


def _freeze(backbone: keras.Model, last: str) -> None:
    """Keep edges and textures as ImageNet taught them; the largest maps then need no gradient."""
    for layer in backbone.layers:
        layer.trainable = False
        if layer.name == last:
            return


def _optimizer(backbone: keras.Model, images: int, config: TrainingConfig) -> SplitRateAdamW:
    steps = config.epochs * -(-images // config.batch_size)
    warmup = max(1, steps // 12)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    return SplitRateAdamW(
        backbone.trainable_variables,
        config.backbone_share,
        learning_rate=rate,
        weight_decay=config.weight_decay,
        clipnorm=1.0,
    )


def _epoch(network: keras.Model, batches: Iterator[SampleArrays]) -> float:
    losses = [network.train_on_batch(x.pixels[..., None], _targets(x)) for x in batches]
    return float(np.mean([np.ravel(loss)[0] for loss in losses]))


def _targets(batch: SampleArrays) -> dict[str, NDArray[np.float32]]:
    return {
        "class": np.eye(len(CLASSES), dtype=np.float32)[batch.labels],
        "lesion": batch.lesions[..., None].astype(np.float32),
    }


def _batches(
    data: SampleArrays, batch_size: int, rng: np.random.Generator
) -> Iterator[SampleArrays]:
    order = balanced_order(data.labels, rng)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        changed = augment_batch(data.pixels[rows], data.lesions[rows], rng)
        yield SampleArrays(*changed, data.labels[rows])
