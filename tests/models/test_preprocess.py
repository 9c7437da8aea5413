import numpy as np
import pytest

from models.preprocess import letterbox, to_frame, to_gray
from models.types import FrameUnusable


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        ((100, 200), (112, 224)),
        ((300, 150), (224, 112)),
        ((50, 50), (224, 224)),
        ((1, 900), (1, 224)),
    ],
)
def test_a_frame_keeps_its_aspect_ratio_and_is_padded_with_black(
    shape: tuple[int, int], content: tuple[int, int]
) -> None:
    square, placement = letterbox(np.full(shape, 200, np.uint8), 224)

    assert square.shape == (224, 224)
    assert (placement.height_px, placement.width_px) == content
    assert (square == 200).sum() == content[0] * content[1]
    assert set(np.unique(square)) <= {0, 200}


def test_a_map_is_resized_back_to_the_frame() -> None:
    frame = np.zeros((300, 500), np.uint8)
    frame[60:160, 100:250] = 255

    square, placement = letterbox(frame, 224)
    back = to_frame((square / 255).astype(np.float32), placement)

    assert back.shape == frame.shape
    assert ((back > 0.5) != (frame > 0)).mean() < 0.01


def test_a_coarse_map_is_resized_to_the_frame() -> None:
    _, placement = letterbox(np.zeros((120, 224), np.uint8), 224)
    coarse = np.zeros((7, 7), np.float32)
    coarse[3, 6] = 1

    fine = to_frame(coarse, placement)

    assert fine.shape == (120, 224)
    row, column = np.unravel_index(fine.argmax(), fine.shape)
    assert 45 < row < 75
    assert column > 190


def test_rgb_becomes_luminance() -> None:
    frame = np.zeros((2, 2, 3), np.uint8)
    frame[..., 1] = 255

    assert (to_gray(frame) == 150).all()


def test_equal_channels_give_the_gray_image() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)

    assert (to_gray(np.stack([gray] * 3, axis=-1)) == gray).all()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint16),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_not_a_frame_is_rejected(frame: np.ndarray) -> None:
    with pytest.raises(FrameUnusable, match="a frame must") as caught:
        letterbox(frame, 224)
    assert caught.value.permanent
