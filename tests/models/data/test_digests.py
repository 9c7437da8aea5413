from dataclasses import replace
from pathlib import Path

import pytest

from models.data.dataset import Sample
from models.data.digests import (
    TRAINING_IMAGES,
    file_digest,
    find_training_groups,
    hash_samples,
    list_training_images,
)
from models.types import DatasetError


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three files, the first two of one group."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"image %d" % number)
    return [Sample(tmp_path / f"{n}.png", 0, (), n // 2, 0) for n in range(3)]


def test_images_are_identified_by_content(samples: list[Sample]) -> None:
    listed = list_training_images(each.image_sha256 for each in hash_samples(samples))
    renamed = samples[0].image.rename(samples[0].image.with_name("Doe^Jane.png"))

    again = list_training_images(
        each.image_sha256
        for each in hash_samples([replace(samples[0], image=renamed), *samples[1:], samples[2]])
    )

    assert listed == again
    assert len(listed) == 3 * 8 + 2
    assert file_digest(renamed)[:8] in listed.split()


def test_near_duplicates_of_training_images_are_found(samples: list[Sample]) -> None:
    assert find_training_groups(
        {TRAINING_IMAGES: list_training_images([file_digest(samples[1].image)])}, samples
    ) == {0}
    assert find_training_groups({TRAINING_IMAGES: ""}, samples) == set()


def test_a_preset_without_training_images_is_recognized(samples: list[Sample]) -> None:
    assert find_training_groups({"images": 604}, samples) is None


def test_a_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.png cannot be read \(No such file"):
        file_digest(tmp_path / "none.png")
