from dataclasses import replace
from pathlib import Path

import pytest

from models.training.dataset import Sample
from models.training.identity import SEEN, file_digest, mark, seen_groups, seen_images
from models.types import DatasetError


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three files, the first two of one group."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"image %d" % number)
    return [Sample(tmp_path / f"{n}.png", 0, (), n // 2, 0) for n in range(3)]


def test_images_are_told_by_what_is_in_them_not_by_their_names(samples: list[Sample]) -> None:
    told = seen_images(each.image for each in mark(samples))
    renamed = samples[0].image.rename(samples[0].image.with_name("Doe^Jane.png"))

    again = seen_images(
        each.image for each in mark([replace(samples[0], image=renamed), *samples[1:], samples[2]])
    )

    assert told == again
    assert len(told) == 3 * 8 + 2
    assert file_digest(renamed)[:8] in told.split()


def test_near_duplicates_of_what_was_seen_count_too(samples: list[Sample]) -> None:
    assert seen_groups({SEEN: seen_images([file_digest(samples[1].image)])}, samples) == {0}
    assert seen_groups({SEEN: ""}, samples) == set()


def test_a_preset_that_kept_no_account_says_so(samples: list[Sample]) -> None:
    assert seen_groups({"images": 604}, samples) is None


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.png cannot be read \(No such file"):
        file_digest(tmp_path / "none.png")
