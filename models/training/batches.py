"""In what order images come in an epoch, and how each is changed on the way."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.recipe import Recipe
from models.training.augment import augment_batch, distort_batch
from models.training.dataset import SampleArrays


def batches(data: SampleArrays, recipe: Recipe, rng: np.random.Generator) -> Iterator[SampleArrays]:
    """Yield one epoch: ordered, augmented, the last batch as large as what is left."""
    order = epoch_order(data.labels, recipe.training.balance, rng)
    for start in range(0, len(order), recipe.training.batch_size):
        rows = order[start : start + recipe.training.batch_size]
        pixels, lesions = data.pixels[rows], data.lesions[rows]
        if recipe.augment.ultrasound:
            pixels, lesions = augment_batch(pixels, lesions, rng)
        pixels, lesions = distort_batch(pixels, lesions, recipe.augment, rng)
        yield SampleArrays(pixels, lesions, data.labels[rows])


def plain_batches(data: SampleArrays, size: int) -> Iterator[SampleArrays]:
    """Yield all images as they are, in their order."""
    for start in range(0, len(data), size):
        rows = slice(start, start + size)
        yield SampleArrays(data.pixels[rows], data.lesions[rows], data.labels[rows])


def epoch_order(
    labels: NDArray[np.int64], balance: str, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Shuffle rows for one epoch, balanced as `models.recipe.TrainingSpec` names it."""
    if balance == "root":
        return balanced_order(labels, rng)
    if balance == "oversample":
        return _oversampled(labels, rng)
    return rng.permutation(len(labels))


def epoch_batches(labels: NDArray[np.int64], recipe: Recipe) -> int:
    """How many batches an epoch has; by ``root`` one more may come."""
    rows = len(labels)
    if recipe.training.balance == "oversample":
        counts = np.bincount(labels)
        rows = int(counts.max() * (counts > 0).sum())
    return -(-rows // recipe.training.batch_size)


def balanced_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffle rows for one epoch, ``len(labels)`` of them or one more or less.

    A row comes as often as its class is rare, by the root of that: a compromise between learning
    the rare class and keeping the probabilities near what images in the wild would ask for.
    """
    share = np.bincount(labels)[labels] ** -0.5
    edges = np.cumsum(share / share.sum() * len(labels)) + rng.random()
    times = np.diff(np.floor(edges), prepend=0).astype(int)
    return rng.permutation(np.repeat(np.arange(len(labels)), times))


def class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weigh each class by its rarity, absent ones by 0; the mean over ``labels`` is 1."""
    counts = np.bincount(labels)
    present = (counts > 0).sum()
    weights: NDArray[np.float64] = (counts > 0) * len(labels) / present / np.maximum(counts, 1)
    return weights.astype(np.float32)


def _oversampled(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Repeat rows until each class has as many as the largest; which ones twice is chance."""
    rows = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    most = max(len(each) for each in rows)
    extra = [rng.choice(each, most % len(each), replace=False) for each in rows]
    whole = [np.tile(each, most // len(each)) for each in rows]
    return rng.permutation(np.concatenate([*whole, *extra]))
