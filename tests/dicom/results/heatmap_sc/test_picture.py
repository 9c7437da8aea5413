"""The picture of a heat map: what each pixel shows, and that the text is whole and off the frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom.results.heatmap_sc.picture import OUTLINE_COLORS, Drawing, cover_by_outline
from dicom.results.model import ImageResult, LesionResult
from tests.dicom import making

SIZES = [(16, 16), (64, 80), (200, 300), (480, 640), (960, 1280)]


def analyzed(
    heatmap: NDArray[np.uint8],
    *lesions: LesionResult,
    label: str = "malignant",
    undecided: bool = False,
    frame_number: int | None = None,
) -> ImageResult:
    """An image whose frame 1 has this heat map and these lesions."""
    return ImageResult(
        source=Path("none.dcm"),
        sop_instance_uid="1.2.3",
        tracking_uid="1.2.4",
        frame_number=frame_number,
        label=label,
        probabilities=(0.002, 0.018, 0.98),
        lesions=lesions,
        heatmaps={1: heatmap},
        undecided=undecided,
    )


def cold(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.zeros((rows, columns), np.uint8)


@pytest.mark.parametrize("frame", [making.gray(300, 400), making.color(300, 400)])
def test_where_there_is_no_heat_the_frame_shows_as_it_is(frame: NDArray[np.uint8]) -> None:
    shown = Drawing(analyzed(cold(300, 400))).draw(frame, 1)[:300, :400]
    assert np.array_equal(shown, frame if frame.ndim == 3 else np.stack([frame] * 3, axis=-1))


def test_the_hotter_the_nearer_to_yellow() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    picture = Drawing(analyzed(ramp)).draw(cold(64, 256), 1)
    brightness = picture[0, :256].astype(int).sum(axis=1)
    assert (np.diff(brightness) >= -1).all()
    assert picture[0, 255, 0] > picture[0, 255, 2]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("background", [0, 255])
def test_outlines_are_visible_on_the_hottest_place_and_elsewhere(
    rows: int, columns: int, background: int
) -> None:
    """Each outline has its color on the heat map and beside it, along its whole length."""
    radius = min(rows, columns) // 5
    masks = [making.disc((rows, columns), columns * n // 4, rows // 2, radius) for n in (1, 3)]
    lesions = [making.lesion(mask, number=n) for n, mask in enumerate(masks, start=1)]
    hot_half = cold(rows, columns)
    hot_half[: rows // 2] = 255
    frame = np.full((rows, columns), background, np.uint8)
    picture = Drawing(analyzed(hot_half, *lesions)).draw(frame, 1)
    touched_by_any = np.zeros((rows, columns), bool)
    for lesion, color in zip(lesions, OUTLINE_COLORS, strict=False):
        line, edge = cover_by_outline((rows, columns), lesion.contour)
        covered, touched = line == 1, edge > 0
        touched_by_any |= touched
        xs, ys = np.array(lesion.contour).T
        middle_of_edge = int(xs.mean()), int(ys.min())
        assert covered[: rows // 2].any()
        assert covered[rows // 2 :].any()
        assert (picture[:rows, :columns][covered] == color).all()
        assert touched[middle_of_edge[1] - 1 : middle_of_edge[1] + 2, middle_of_edge[0]].any()
        assert (lesion.mask & ~touched).any()  # the tissue within remains visible
    bare = Drawing(analyzed(hot_half)).draw(frame, 1)
    assert np.array_equal(
        picture[:rows, :columns][~touched_by_any], bare[:rows, :columns][~touched_by_any]
    )


def test_an_outline_is_drawn_on_its_frame_only_and_keeps_its_color() -> None:
    masks = [making.disc((64, 80), x, 32, 9) for x in (20, 60)]
    lesions = (
        making.lesion(masks[0], number=1, frame=1),
        making.lesion(masks[1], number=2, frame=2),
    )
    image = replace(analyzed(cold(64, 80), *lesions), heatmaps={1: cold(64, 80), 2: cold(64, 80)})
    drawing = Drawing(image)
    pictures = [drawing.draw(making.gray(), number) for number in (1, 2)]
    for picture, own, other in ((pictures[0], 0, 1), (pictures[1], 1, 0)):
        shown = picture[:64, :80]
        assert (
            shown[cover_by_outline((64, 80), lesions[own].contour)[0] == 1] == OUTLINE_COLORS[own]
        ).all()
        untouched = cover_by_outline((64, 80), lesions[other].contour)[1] > 0
        assert np.array_equal(shown[untouched], np.stack([making.gray()] * 3, axis=-1)[untouched])
    assert pictures[0].shape == pictures[1].shape


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("label", ["normal", "malignant"])
@pytest.mark.parametrize("cine", [False, True])
def test_the_band_stands_below_and_no_text_is_cut_off(
    rows: int, columns: int, label: str, cine: bool
) -> None:
    mask = making.disc((rows, columns), columns // 2, rows // 2, min(rows, columns) // 4)
    lesions = [making.lesion(mask, number=number) for number in (1, 22)]
    number = 4321 if cine else None
    image = analyzed(cold(rows, columns), *lesions, label=label, frame_number=number)
    band = Drawing(image).draw(making.gray(rows, columns), 1)[rows:]
    assert band.shape[0] > 60
    assert band.shape[1] == max(columns, 340)
    assert band.max() == 255
    margin = round(band.shape[1] * 0.06)
    assert not band[:, :margin].any()
    assert not band[:, -margin:].any()
    assert not band[:3].any()
    assert not band[-3:].any()


def test_the_band_tells_classes_probabilities_and_undecided_apart() -> None:
    frame, none = making.gray(), cold(64, 80)
    images = [
        analyzed(none, label="malignant"),
        analyzed(none, label="benign"),
        analyzed(none, label="malignant", undecided=True),
        replace(analyzed(none), probabilities=(0.1, 0.2, 0.7)),
        analyzed(none, making.lesion(making.disc((64, 80), 40, 30, 9))),
    ]
    bands = [Drawing(image, 0.67).draw(frame, 1)[64:] for image in images]
    assert all(
        not np.array_equal(one, other) for n, one in enumerate(bands) for other in bands[n + 1 :]
    )


def test_the_scale_of_colors_is_that_of_the_picture() -> None:
    """The band shows the color of every weight over gray tissue, from none to the greatest."""
    rows, columns = 480, 640
    band = Drawing(analyzed(cold(rows, columns))).draw(making.gray(rows, columns), 1)[rows:]
    ramp = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (64, 1))
    gray = np.full((64, 160), 90, np.uint8)
    expected = Drawing(analyzed(ramp)).draw(gray, 1)[0, :160].astype(int)
    found = np.unique(band.reshape(-1, 3), axis=0).astype(int)
    distances = np.abs(expected[:, np.newaxis] - found).max(axis=2).min(axis=1)
    assert distances.max() <= 4


def test_one_picture_of_a_long_cine_takes_the_room_that_its_fullest_frame_needs() -> None:
    mask = making.disc((64, 80), 40, 30, 9)
    several = [making.lesion(mask, number=number, frame=2) for number in (1, 2, 3)]
    image = replace(
        analyzed(cold(64, 80), *several, frame_number=2),
        heatmaps={1: cold(64, 80), 2: cold(64, 80)},
    )
    alone = replace(image, lesions=())
    assert (
        Drawing(image).draw(making.gray(), 1).shape[0]
        > Drawing(alone).draw(making.gray(), 1).shape[0]
    )
