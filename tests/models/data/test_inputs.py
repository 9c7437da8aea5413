from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.dataset import Sample
from models.data.inputs import add_channel_axis, load_input, load_inputs
from models.preprocess import letterbox, to_frame
from models.recipe import InputSpec


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """An image twice as wide as high, red on the left, with a lesion on the right."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 0] = 200
    mask = np.zeros((40, 80), np.uint8)
    mask[10:30, 50:70] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    return Sample(tmp_path / "a.png", 1, (tmp_path / "a_mask.png",), 0, 0)


def test_letterboxed_inputs_equal_those_of_the_predictor(sample: Sample) -> None:
    data = load_inputs([sample], InputSpec(size_px=32))

    assert np.array_equal(data.pixels[0], letterbox(sample.read()[0], 32)[0])
    assert data.lesions[0, 12:20, 20:28].all()
    assert data.lesions.sum() == 64


def test_stretched_inputs_fill_the_square(sample: Sample) -> None:
    square = load_inputs([sample], InputSpec(size_px=40, fit="squash"))

    assert square.pixels[0, 0, 0] == square.pixels[0, -1, 0] > 0, "no black band"
    assert square.lesions[0, 10:30, 26:34].all()


def test_rgb_inputs_keep_their_colors(sample: Sample) -> None:
    data = load_inputs([sample], InputSpec(size_px=32, channels=3, fit="squash"))

    assert data.pixels.shape == (1, 32, 32, 3)
    assert data.pixels[0, 16, 4].tolist() == [200, 0, 0]
    assert add_channel_axis(data.pixels).shape == (1, 32, 32, 3)
    assert add_channel_axis(data.pixels[..., 0]).shape == (1, 32, 32, 1)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_outputs_are_mapped_back_to_the_image(sample: Sample, fit: str) -> None:
    spec = InputSpec.model_validate({"size_px": 80, "fit": fit})
    square = load_inputs([sample], spec).lesions[0].astype(np.float32)

    _, place, lesion = load_input(sample, spec)

    assert np.array_equal(to_frame(square, place) > 0.5, lesion)
