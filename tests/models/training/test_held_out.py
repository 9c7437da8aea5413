import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.evaluation.metrics import HeatmapLocalization, Overlap
from models.training.held_out import HELD_OUT_FILE, HeldOutResult, read_held_out, write_held_out
from models.types import DatasetError


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file with the results of two images."""
    rows = [
        HeldOutResult("a.png", 1, 0, (1.0, 0.0)),
        HeldOutResult(
            "b.png",
            2,
            1,
            (),
            Overlap(3, 2, 1),
            HeatmapLocalization(0.4, peak_inside=True, lesion_area=0.1),
        ),
    ]
    write_held_out(tmp_path / HELD_OUT_FILE, rows, {"fold": 3})
    assert read_held_out(tmp_path / HELD_OUT_FILE) == (rows, {"fold": 3})
    return tmp_path / HELD_OUT_FILE


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_incomplete_write_keeps_the_existing_file(written: Path) -> None:
    before, rows = written.read_text(), read_held_out(written)[0]

    with full_disk(), pytest.raises(OSError, match="too large"):
        write_held_out(written, rows * 9, {"fold": 4})

    assert written.read_text() == before


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_truncated_file_is_named(written: Path, share: float) -> None:
    content = written.read_text()
    written.write_text(content[: int(len(content) * share)])

    with pytest.raises(DatasetError, match=r"/held-out\.json cannot be read"):
        read_held_out(written)


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": [{}]}', '{"images": 3}'])
def test_a_file_with_other_content_is_named(written: Path, text: str) -> None:
    written.write_text(text)

    with pytest.raises(DatasetError, match="cannot be read as held-out results"):
        read_held_out(written)
