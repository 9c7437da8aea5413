"""Bootstrap confidence intervals of metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")
Interval = tuple[float | None, float | None]
"""Lower and upper bound; None if the metric is undefined."""


def bootstrap_intervals(
    rows: Sequence[Row],
    group_of: Callable[[Row], int],
    metrics: Callable[[Sequence[Row]], Mapping[str, float]],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the 95 % percentile bootstrap interval of each metric (Efron 1979).

    Whole groups are drawn with replacement, because near-duplicates are one observation. A metric
    that is NaN in every resample has the interval (None, None).
    """
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    members, rng = list(groups.values()), np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = rng.integers(0, len(members), len(members))
        for name, value in metrics([row for k in drawn for row in members[k]]).items():
            draws.setdefault(name, []).append(value)
    bounds: dict[str, Interval] = {}
    for name, values in draws.items():
        defined = [value for value in values if not np.isnan(value)]
        low, high = np.percentile(defined, [2.5, 97.5]).tolist() if defined else (None, None)
        bounds[name] = (low, high)
    return bounds
