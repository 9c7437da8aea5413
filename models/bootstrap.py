"""How far figures could have come out otherwise, had other images of the same kind been drawn."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")
Interval = tuple[float | None, float | None]


def intervals(
    rows: Sequence[Row],
    group_of: Callable[[Row], int],
    figures: Callable[[Sequence[Row]], Mapping[str, float]],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the 95 % percentile bootstrap interval of each figure (Efron 1979).

    Whole groups are drawn, with replacement: near-duplicates are one observation. A figure that is
    NaN on every draw has (None, None).
    """
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    members, rng = list(groups.values()), np.random.default_rng(seed)
    draws = [
        figures([row for k in rng.integers(0, len(members), len(members)) for row in members[k]])
        for _ in range(resamples)
    ]
    names = dict.fromkeys(name for draw in draws for name in draw)
    return {name: _interval([draw.get(name, np.nan) for draw in draws]) for name in names}


def _interval(values: Sequence[float]) -> Interval:
    known = np.array(values)[~np.isnan(values)]
    if not len(known):
        return None, None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
