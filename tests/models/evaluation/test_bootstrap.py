from collections.abc import Sequence

import numpy as np
import pytest

from models.evaluation.bootstrap import bootstrap_intervals

Row = tuple[int, float]
"""A group and a value."""


def mean(rows: Sequence[Row]) -> dict[str, float]:
    return {"mean": float(np.mean([value for _, value in rows])), "never": float("nan")}


def width(rows: Sequence[Row]) -> float:
    low, high = bootstrap_intervals(rows, lambda row: row[0], mean)["mean"]
    assert low is not None
    assert high is not None
    return high - low


def test_the_interval_of_a_mean_has_the_expected_width() -> None:
    rng = np.random.default_rng(0)
    rows = [(k, float(value)) for k, value in enumerate(rng.normal(size=400))]
    assert width(rows) == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_rows_of_a_group_count_as_one_observation() -> None:
    rows = [(k // 4, float(k // 4 % 2)) for k in range(160)]
    alone = width([(k, value) for k, (_, value) in enumerate(rows)])
    assert width(rows) == pytest.approx(2 * alone, rel=0.2)


def test_a_metric_that_is_always_undefined_has_no_interval() -> None:
    assert bootstrap_intervals([(0, 1.0), (1, 2.0)], lambda row: row[0], mean)["never"] == (
        None,
        None,
    )


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = [(k, float(k)) for k in range(20)]
    first, second = (
        bootstrap_intervals(rows, lambda row: row[0], mean, resamples=50) for _ in range(2)
    )
    assert first == second
