"""Folds for cross-validation, and the validation split for early stopping."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from models.data.dataset import Sample
from models.types import DatasetError

Protocol = Literal["grouped", "random"]
LEAKAGE_WARNING = (
    "Data leakage: with protocol random, near-duplicates of held-out images are in the training"
    " data. Compare these metrics only with papers that split in the same way; they do not predict"
    " performance on new patients."
)
_VALIDATION_PARTS = 7
"""One part in seven is the validation split."""


def assign_folds(
    samples: Sequence[Sample], *, protocol: Protocol = "grouped", folds: int = 5, seed: int = 0
) -> list[Sample]:
    """Assign samples to folds, stratified by class.

    ``grouped`` keeps near-duplicates in one fold; folds that the samples already have are kept if
    their number is ``folds`` and they split no group. ``random`` ignores near-duplicates, as
    published works do, and leaks.

    Raises:
        DatasetError: a class has fewer images, or groups of them, than there are folds.
    """
    if protocol == "random":
        return _stratify(samples, list(range(len(samples))), folds, seed)
    folds_of: dict[int, set[int]] = defaultdict(set)
    for sample in samples:
        folds_of[sample.duplicate_group].add(sample.fold)
    splits_groups = any(len(group_folds) > 1 for group_folds in folds_of.values())
    if len({x.fold for x in samples}) == folds and not splits_groups:
        return list(samples)
    return _stratify(samples, [x.duplicate_group for x in samples], folds, seed)


def split_validation(
    samples: Sequence[Sample], *, seed: int = 0
) -> tuple[list[Sample], list[Sample]]:
    """Split into training samples and about a seventh for validation, without splitting a group.

    Raises:
        DatasetError: a class has fewer than two groups.
    """
    groups = [x.duplicate_group for x in samples]
    parts = min(_VALIDATION_PARTS, _fewest_groups(samples, groups))
    assigned = _stratify(samples, groups, parts, seed)
    training = [x for x, part in zip(samples, assigned, strict=True) if part.fold]
    validation = [x for x, part in zip(samples, assigned, strict=True) if not part.fold]
    return training, validation


def _stratify(
    samples: Sequence[Sample], groups: Sequence[int], folds: int, seed: int
) -> list[Sample]:
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2 or _fewest_groups(samples, groups) < folds:
        raise DatasetError(
            f"a class has too few images that are not near-duplicates for {max(folds, 2)} folds;"
            " add images or choose fewer folds"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    labels = [x.label for x in samples]
    assigned = list(samples)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
        for row in held_out:
            assigned[row] = replace(samples[row], fold=fold)
    return assigned


def _fewest_groups(samples: Sequence[Sample], groups: Sequence[int]) -> int:
    """Return the number of groups of the class that has the fewest."""
    groups_of: dict[int, set[int]] = defaultdict(set)
    for sample, group in zip(samples, groups, strict=True):
        groups_of[sample.label].add(group)
    return min(len(found) for found in groups_of.values())
