from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.data.dataset import Sample
from models.data.splits import assign_folds, split_validation
from models.types import DatasetError


def samples(groups: int, of: int = 1, *, fold: int = 0) -> list[Sample]:
    """Groups of near-duplicates; the classes alternate by group."""
    return [
        Sample(Path(f"{group}-{n}.png"), group % 3, (), group, fold)
        for group in range(groups)
        for n in range(of)
    ]


def folds_of_groups(dealt: list[Sample]) -> dict[int, set[int]]:
    folds: dict[int, set[int]] = defaultdict(set)
    for sample in dealt:
        folds[sample.duplicate_group].add(sample.fold)
    return folds


def test_only_the_random_protocol_splits_groups() -> None:
    twins = samples(30, of=4)

    grouped = assign_folds(twins, protocol="grouped", folds=3)
    random = assign_folds(twins, protocol="random", folds=3)

    assert all(len(folds) == 1 for folds in folds_of_groups(grouped).values())
    assert sum(len(folds) > 1 for folds in folds_of_groups(random).values()) > 20


@pytest.mark.parametrize("protocol", ["grouped", "random"])
def test_folds_are_stratified_by_class(protocol: str) -> None:
    dealt = assign_folds(samples(30, of=2), protocol=protocol, folds=5)  # type: ignore[arg-type]

    counts = [np.bincount([x.label for x in dealt if x.fold == fold]) for fold in range(5)]

    assert [count.tolist() for count in counts] == [[4, 4, 4]] * 5


def test_existing_folds_that_split_no_group_are_kept() -> None:
    given = [Sample(x.image, x.label, (), x.duplicate_group, x.duplicate_group % 4)
             for x in samples(12, of=2)]  # fmt: skip

    assert assign_folds(given, folds=4) == given
    assert assign_folds(given, folds=3) != given


def test_existing_folds_that_split_a_group_are_replaced() -> None:
    torn = [Sample(x.image, x.label, (), x.duplicate_group, n % 2)
            for n, x in enumerate(samples(12, of=2))]  # fmt: skip

    assert all(len(folds) == 1 for folds in folds_of_groups(assign_folds(torn, folds=2)).values())


def test_the_split_depends_on_the_seed_only() -> None:
    assert assign_folds(samples(30), folds=3, seed=1) == assign_folds(samples(30), folds=3, seed=1)
    assert assign_folds(samples(30), folds=3, seed=1) != assign_folds(samples(30), folds=3, seed=2)


def test_the_validation_split_does_not_divide_groups() -> None:
    rest, aside = split_validation(samples(60, of=3))

    assert len(rest) + len(aside) == 180
    assert len(aside) == pytest.approx(180 / 7, abs=6)
    assert not {x.duplicate_group for x in rest} & {x.duplicate_group for x in aside}
    assert {x.label for x in aside} == {0, 1, 2}


def test_fewer_groups_than_folds_is_an_error() -> None:
    with pytest.raises(DatasetError, match="not near-duplicates for 5 folds"):
        assign_folds(samples(6, of=10), folds=5)
