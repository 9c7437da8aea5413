import numpy as np
import pytest

from dicom.results.heatmap_sc.picture import draw_heatmap
from tests.dicom import making


@pytest.mark.parametrize("frame", [making.gray(300, 400), making.color(300, 400)])
def test_where_there_is_no_heat_the_frame_shows_as_it_is(frame: np.ndarray) -> None:
    cold = np.zeros((300, 400), np.uint8)
    picture = draw_heatmap(frame, cold, "benign")
    shown = picture[:300, :400]
    assert np.array_equal(shown, frame if frame.ndim == 3 else np.stack([frame] * 3, axis=-1))


def test_the_hotter_the_nearer_to_yellow() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    picture = draw_heatmap(np.zeros((64, 256), np.uint8), ramp, "benign")
    brightness = picture[0, :256].astype(int).sum(axis=1)
    assert (np.diff(brightness) >= -1).all()
    assert picture[0, 255, 0] > picture[0, 255, 2]


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (64, 80), (480, 640), (900, 1200)])
@pytest.mark.parametrize("label", ["normal", "benign", "malignant"])
def test_the_legend_stands_below_and_is_not_cut_off(rows: int, columns: int, label: str) -> None:
    picture = draw_heatmap(making.gray(rows, columns), np.zeros((rows, columns), np.uint8), label)
    legend = picture[rows:]
    assert legend.shape[0] > 30
    assert legend.shape[1] == max(columns, 340)
    assert legend.max() == 255
    assert not legend[:, -4:].any()
    assert not legend[-2:].any()


def test_the_legend_names_the_class() -> None:
    frame, cold = making.gray(), np.zeros((64, 80), np.uint8)
    benign, malignant = (draw_heatmap(frame, cold, label) for label in ("benign", "malignant"))
    assert not np.array_equal(benign, malignant)
