import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workers.results.gray_png import encode_gray, encode_mask, read_gray, read_mask


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (64, 65)])
def test_a_mask_comes_back_pixel_by_pixel(shape: tuple[int, int], tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random(shape) > 0.5
    path = tmp_path / "mask.png"
    path.write_bytes(encode_mask(mask))
    assert np.array_equal(read_mask(path), mask)


def test_a_heat_map_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (17, 30), np.uint8)
    path = tmp_path / "heatmap.png"
    path.write_bytes(encode_gray(pixels))
    assert np.array_equal(read_gray(path), pixels)


def test_a_heat_map_is_a_plain_gray_png() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    with Image.open(io.BytesIO(encode_gray(pixels))) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert np.array_equal(np.asarray(image), pixels)
