"""Which images are held out, and which are set aside from those trained on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from models.training.dataset import Sample
from models.types import DatasetError

Protocol = Literal["grouped", "random"]
LEAKS = (
    "protocol random LEAKS: near-duplicates of held-out images are trained on. Its figures only"
    " compare with papers that split in this way; they say nothing of new patients."
)
_ASIDE = 7
"""One part in seven is set aside."""


def split(
    samples: Sequence[Sample], *, protocol: Protocol = "grouped", folds: int = 5, seed: int = 0
) -> list[Sample]:
    """Deal samples out to folds, by class alike.

    ``grouped`` keeps near-duplicates together, and the folds that samples have where they are of
    that number and do so already. ``random`` ignores duplicates, as published works do: it leaks.
    Raises `DatasetError` when there are too few images, or groups of them.
    """
    if protocol == "random":
        return _dealt(samples, list(range(len(samples))), folds, seed)
    if len({x.fold for x in samples}) == folds and not _is_torn(samples):
        return list(samples)
    return _dealt(samples, [x.duplicate_group for x in samples], folds, seed)


def set_aside(samples: Sequence[Sample], *, seed: int = 0) -> tuple[list[Sample], list[Sample]]:
    """Part samples in those to train on and about a seventh to stop by, no group in both."""
    groups = [x.duplicate_group for x in samples]
    parts = _dealt(samples, groups, min(_ASIDE, _rarest(samples, groups)), seed)
    rest = [x for x, part in zip(samples, parts, strict=True) if part.fold]
    aside = [x for x, part in zip(samples, parts, strict=True) if not part.fold]
    return rest, aside


def _is_torn(samples: Sequence[Sample]) -> bool:
    folds: dict[int, set[int]] = defaultdict(set)
    for sample in samples:
        folds[sample.duplicate_group].add(sample.fold)
    return any(len(each) > 1 for each in folds.values())


def _dealt(samples: Sequence[Sample], groups: Sequence[int], folds: int, seed: int) -> list[Sample]:
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2 or _rarest(samples, groups) < folds:
        raise DatasetError(f"too few images of a class, or too alike, for {max(folds, 2)} folds")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    labels = [x.label for x in samples]
    dealt = list(samples)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
        for row in held_out:
            dealt[row] = replace(samples[row], fold=fold)
    return dealt


def _rarest(samples: Sequence[Sample], groups: Sequence[int]) -> int:
    """Of the class with the fewest groups, how many."""
    seen: dict[int, set[int]] = defaultdict(set)
    for sample, group in zip(samples, groups, strict=True):
        seen[sample.label].add(group)
    return min(len(each) for each in seen.values())
