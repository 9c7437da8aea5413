"""Batches of an epoch: class balancing, order and augmentation."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import SampleArrays
from models.recipe import Recipe
from models.training.augment import augment_generic_batch, augment_ultrasound_batch


def training_batches(
    data: SampleArrays, recipe: Recipe, rng: np.random.Generator
) -> Iterator[SampleArrays]:
    """Yield the shuffled and augmented batches of one epoch; the last one may be smaller."""
    order = epoch_order(data.labels, recipe.training.balance, rng)
    for start in range(0, len(order), recipe.training.batch_size):
        rows = order[start : start + recipe.training.batch_size]
        pixels, lesions = data.pixels[rows], data.lesions[rows]
        if recipe.augment.ultrasound:
            pixels, lesions = augment_ultrasound_batch(pixels, lesions, rng)
        pixels, lesions = augment_generic_batch(pixels, lesions, recipe.augment, rng)
        yield SampleArrays(pixels, lesions, data.labels[rows])


def sequential_batches(data: SampleArrays, size: int) -> Iterator[SampleArrays]:
    """Yield all images unchanged and in order."""
    for start in range(0, len(data), size):
        rows = slice(start, start + size)
        yield SampleArrays(data.pixels[rows], data.lesions[rows], data.labels[rows])


def epoch_order(
    labels: NDArray[np.int64], balance: str, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the shuffled rows of one epoch, balanced as `models.recipe.TrainingSpec` says."""
    if balance == "inverse-sqrt":
        return inverse_sqrt_order(labels, rng)
    if balance != "oversample":
        return rng.permutation(len(labels))
    by_class = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    largest = max(len(rows) for rows in by_class)
    extra = [rng.choice(rows, largest % len(rows), replace=False) for rows in by_class]
    repeated = [np.tile(rows, largest // len(rows)) for rows in by_class]
    return rng.permutation(np.concatenate([*repeated, *extra]))


def count_batches(labels: NDArray[np.int64], recipe: Recipe) -> int:
    """Return the number of batches of an epoch; ``inverse-sqrt`` may have one more."""
    rows = len(labels)
    if recipe.training.balance == "oversample":
        counts = np.bincount(labels)
        rows = int(counts.max() * (counts > 0).sum())
    return -(-rows // recipe.training.batch_size)


def inverse_sqrt_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Sample rows by the inverse square root of their class's frequency, shuffled.

    Returns ``len(labels)`` rows, give or take one. It is a compromise between learning rare classes
    and keeping predicted probabilities close to the class frequencies in practice.
    """
    weights = np.bincount(labels)[labels] ** -0.5
    edges = np.cumsum(weights / weights.sum() * len(labels)) + rng.random()
    times = np.diff(np.floor(edges), prepend=0).astype(int)
    return rng.permutation(np.repeat(np.arange(len(labels)), times))


def class_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return loss weights inversely proportional to class frequency, 0 for absent classes.

    Their mean over ``labels`` is 1.
    """
    counts = np.bincount(labels)
    present = (counts > 0).sum()
    weights: NDArray[np.float64] = (counts > 0) * len(labels) / present / np.maximum(counts, 1)
    return weights.astype(np.float32)
