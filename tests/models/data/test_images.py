"""Image files of different bit depths and formats, and damaged files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Sample
from models.data.duplicates import find_duplicate_groups
from models.data.images import read_gray, read_mask, read_rgb
from models.data.inputs import load_inputs
from models.recipe import InputSpec
from models.types import DatasetError
from workers.pipeline.image_file import PngOrJpegFile

DEEP = np.linspace(0, 65535, 40 * 50).reshape(40, 50).astype(np.uint16)


def saved(file: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(file)
    return file


def with_a_damaged_chunk(file: Path) -> Path:
    """A PNG file with a wrong chunk length, so that the next chunk is not found."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    whole = saved(file, noise).read_bytes()
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at]) // 2
    file.write_bytes(whole[: at - 4] + length.to_bytes(4) + whole[at:])
    return file


def test_sixteen_bit_images_are_read_as_in_the_analysis(tmp_path: Path) -> None:
    file = saved(tmp_path / "deep.png", DEEP)
    ((_, frame),) = PngOrJpegFile(file).decode_frames([0])

    assert isinstance(frame, np.ndarray)
    assert np.array_equal(read_gray(file), frame)
    assert len(np.unique(read_gray(file))) == 256
    assert np.array_equal(read_rgb(file), np.repeat(read_gray(file)[..., None], 3, 2))


def test_twelve_bit_values_in_sixteen_bits_are_rejected(tmp_path: Path) -> None:
    file = saved(tmp_path / "twelve.png", DEEP >> 4)

    with pytest.raises(DatasetError, match=r"twelve\.png has 16-bit values up to 4095 only"):
        read_gray(file)


@pytest.mark.parametrize("drawn", [np.uint8(1), np.uint8(255), np.uint16(1), np.uint16(255)])
def test_a_mask_is_every_pixel_that_is_not_zero(tmp_path: Path, drawn: np.generic) -> None:
    lesion = np.zeros((40, 50), np.bool_)
    lesion[10:20, 10:30] = True

    file = saved(tmp_path / "mask.png", np.where(lesion, drawn, drawn.dtype.type(0)))

    assert np.array_equal(read_mask(file), lesion)


def test_jpeg_artifacts_around_a_mask_are_ignored(tmp_path: Path) -> None:
    lesion = np.zeros((40, 50), np.bool_)
    lesion[11:21, 13:31] = True

    file = saved(tmp_path / "mask.jpg", np.where(lesion, 255, 0).astype(np.uint8))

    assert (np.asarray(Image.open(file)) > 0).sum() > lesion.sum()
    assert np.array_equal(read_mask(file), lesion)


def test_a_damaged_image_is_named_by_every_reader(tmp_path: Path) -> None:
    file = with_a_damaged_chunk(tmp_path / "damaged.png")
    with pytest.raises(SyntaxError), Image.open(file) as image:
        image.load()

    sample, mask = Sample(file, 1, (), 0, 0), Sample(tmp_path / "a.png", 1, (file,), 0, 0)
    saved(mask.image, np.full((40, 50), 90, np.uint8))
    for read in (
        sample.read,
        mask.read,
        lambda: load_inputs([sample], InputSpec(size_px=32, channels=3)),
        lambda: read_rgb(file),
        lambda: find_duplicate_groups([file]),
    ):
        with pytest.raises(DatasetError, match=r"damaged\.png cannot be read as an image"):
            read()


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    file = saved(tmp_path / "cut.bmp", np.full((40, 50), 90, np.uint8))
    file.write_bytes(file.read_bytes()[:-900])

    with pytest.raises(DatasetError, match=r"cut\.bmp cannot be read"):
        read_gray(file)


def test_an_image_with_too_many_pixels_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)

    with pytest.raises(DatasetError, match=r"large\.png has too many pixels"):
        read_gray(saved(tmp_path / "large.png", np.full((40, 50), 90, np.uint8)))
