import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.evaluation import Heat, Overlap
from models.training.outcomes import ImageOutcome, read_outcomes, write_outcomes
from models.types import DatasetError


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What a network said of two images."""
    rows = [
        ImageOutcome("a.png", 1, 0, (1.0, 0.0)),
        ImageOutcome(
            "b.png", 2, 1, (), Overlap(3, 2, 1), Heat(0.4, pointed=True, lesion_share=0.1)
        ),
    ]
    write_outcomes(tmp_path / "outcomes.json", rows, {"fold": 3})
    assert read_outcomes(tmp_path / "outcomes.json") == (rows, {"fold": 3})
    return tmp_path / "outcomes.json"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_cannot_be_written_whole_leaves_what_is_there(written: Path) -> None:
    before, rows = written.read_text(), read_outcomes(written)[0]

    with full_disk(), pytest.raises(OSError, match="too large"):
        write_outcomes(written, rows * 9, {"fold": 4})

    assert written.read_text() == before


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_file_cut_short_is_named(written: Path, share: float) -> None:
    whole = written.read_text()
    written.write_text(whole[: int(len(whole) * share)])

    with pytest.raises(DatasetError, match=r"/outcomes\.json cannot be read"):
        read_outcomes(written)


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": [{}]}', '{"images": 3}'])
def test_a_file_of_something_else_is_named(written: Path, text: str) -> None:
    written.write_text(text)

    with pytest.raises(DatasetError, match="cannot be read as what a network said"):
        read_outcomes(written)
