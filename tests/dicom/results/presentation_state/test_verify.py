from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.presentation_state.verify import (
    read_back_presentation_state,
    verify_presentation_state,
)
from tests.dicom import making
from tests.dicom.results.marked_study import ROUND, lesion, marked_study

Damage = Callable[[Dataset], None]


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    return marked_study(tmp_path)


@pytest.fixture
def state(result: StudyResult) -> Dataset:
    """Of the cine."""
    return making.build_objects("presentation-state", result)[1]


def test_a_state_is_read_as_the_outlines_that_it_draws(
    result: StudyResult, state: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(state, tmp_path / "state.dcm").path
    found = read_back_presentation_state(path)
    meant = result.images[2].lesions
    assert [(one.tracking_id, one.frame) for one in found.annotations] == [
        (one.tracking_id, one.frame_number) for one in meant
    ]
    assert np.allclose(found.annotations[0].points[:-1], ROUND, atol=1e-4)
    assert {one.layer for one in found.annotations} == set(found.layers)
    verify_presentation_state(path, result)


def test_an_outline_along_the_border_and_a_very_long_one_are_read_as_they_are_drawn(
    result: StudyResult, tmp_path: Path
) -> None:
    outside = ((-3.0, 5.0), (90.0, 5.0), (40.0, 70.0))
    long = tuple((40 + 20 * np.cos(a), 30 + 20 * np.sin(a)) for a in np.linspace(0, 6, 20_001))
    _, still, _ = result.images
    for contour in (outside, long):
        image = replace(still, lesions=(lesion(1, 1, contour),))
        (built,) = making.build_objects("presentation-state", making.study_result(image))
        path = write_dataset(built, tmp_path / "state.dcm").path
        verify_presentation_state(path, making.study_result(image))


def graphic(state: Dataset) -> Dataset:
    found: Dataset = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    return found


def shift_an_outline(state: Dataset) -> None:
    graphic(state).GraphicData = [value + 0.6 for value in graphic(state).GraphicData]


def move_one_point(state: Dataset) -> None:
    graphic(state).GraphicData[30] -= 1


def leave_points_out(state: Dataset) -> None:
    points = np.reshape(graphic(state).GraphicData, (-1, 2))
    graphic(state).GraphicData = [*points[:-1:2].ravel(), *points[0]]
    graphic(state).NumberOfGraphicPoints = len(graphic(state).GraphicData) // 2


def open_an_outline(state: Dataset) -> None:
    graphic(state).GraphicData = list(graphic(state).GraphicData)[:-2]


def lose_all_points(state: Dataset) -> None:
    graphic(state).GraphicData = []


def swap_the_names(state: Dataset) -> None:
    first, second, _ = state.GraphicAnnotationSequence
    first.TextObjectSequence, second.TextObjectSequence = (
        second.TextObjectSequence,
        first.TextObjectSequence,
    )


def draw_on_another_frame(state: Dataset) -> None:
    state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedFrameNumber = 5


def draw_on_another_image(state: Dataset) -> None:
    reference = state.GraphicAnnotationSequence[0].ReferencedImageSequence[0]
    reference.ReferencedSOPInstanceUID = "1.2.3"


def draw_one_less(state: Dataset) -> None:
    del state.GraphicAnnotationSequence[0]


def draw_one_twice(state: Dataset) -> None:
    state.GraphicAnnotationSequence.append(state.GraphicAnnotationSequence[0])


def lose_the_layer(state: Dataset) -> None:
    state.GraphicLayerSequence[0].GraphicLayer = "OTHER"


def draw_it_elsewhere_on_the_screen(state: Dataset) -> None:
    graphic(state).GraphicAnnotationUnits = "DISPLAY"


def present_another_image(state: Dataset) -> None:
    reference = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    reference.ReferencedSOPInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    "damage",
    [
        shift_an_outline,
        move_one_point,
        leave_points_out,
        open_an_outline,
        lose_all_points,
        swap_the_names,
        draw_on_another_frame,
        draw_on_another_image,
        draw_one_less,
        draw_one_twice,
        lose_the_layer,
        draw_it_elsewhere_on_the_screen,
        present_another_image,
    ],
)
def test_a_state_that_draws_something_else_is_noticed(
    result: StudyResult, state: Dataset, tmp_path: Path, damage: Damage
) -> None:
    with pytest.raises(ReadBackMismatch):
        verify_presentation_state(making.spoiled(state, damage, tmp_path), result)


def test_an_image_is_not_accepted(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        verify_presentation_state(result.images[0].source, result)
