from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.key_objects.build import build_key_objects
from dicom.results.marks_verify import (
    read_back_key_objects,
    read_back_presentation_state,
    verify_key_objects,
    verify_presentation_state,
)
from dicom.results.model import ImageResult, LesionResult, StudyResult
from dicom.results.presentation_state.build import build_presentation_states
from tests.dicom import making

SHAPE = (64, 80)
ROUND = tuple((40 + 20 * np.cos(a), 30 + 20 * np.sin(a)) for a in np.linspace(0, 6, 60))
Damage = Callable[[Dataset], None]
Verify = Callable[[Path, StudyResult], object]


def lesion(number: int, frame: int, contour: tuple[tuple[float, float], ...]) -> LesionResult:
    mask = making.disc(SHAPE, 40, 30, 8)
    return replace(making.lesion(mask, number=number, frame=frame), contour=contour)


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    """A normal still, a suspicious one in gray, and a cine with lesions on frames 2 and 4."""
    paths = [
        making.write_image(tmp_path / f"{number}.dcm", instance_number=number) for number in (1, 2)
    ]
    frames = [making.color(seed=seed) for seed in range(5)]
    cine = making.write_image(tmp_path / "3.dcm", frames, instance_number=3)
    lesions = [lesion(1, 4, ROUND), lesion(2, 2, ROUND[:40]), lesion(1, 2, ROUND[20:])]
    moving = making.image_result(cine, lesions, frame_number=3)
    still = making.image_result(paths[1], [lesion(3, 1, ROUND)])
    return making.study_result(making.image_result(paths[0]), still, moving)


def spoiled(one: Dataset, damage: Damage, folder: Path) -> Path:
    damage(one)
    return write_dataset(one, folder / "spoiled.dcm").path


# --------------------------------------------------------------------------- key objects


@pytest.fixture
def selection(result: StudyResult) -> Dataset:
    return build_key_objects(result)[0]


def test_a_selection_is_read_as_the_frames_that_it_names(
    result: StudyResult, selection: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(selection, tmp_path / "key.dcm").path
    _, still, moving = result.images
    found = read_back_key_objects(path)
    assert found.frames == {still.sop_instance_uid: (), moving.sop_instance_uid: (2, 3, 4)}
    assert found.evidence == set(found.frames)
    verify_key_objects(path, result)


def images_of(selection: Dataset) -> list[Dataset]:
    return [item for item in selection.ContentSequence if item.ValueType == "IMAGE"]


def name_one_frame_more(selection: Dataset) -> None:
    images_of(selection)[1].ReferencedSOPSequence[0].ReferencedFrameNumber = [2, 3, 4, 5]


def name_one_frame_less(selection: Dataset) -> None:
    images_of(selection)[1].ReferencedSOPSequence[0].ReferencedFrameNumber = 2


def name_the_whole_cine(selection: Dataset) -> None:
    del images_of(selection)[1].ReferencedSOPSequence[0].ReferencedFrameNumber


def name_a_frame_of_a_still(selection: Dataset) -> None:
    images_of(selection)[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 1


def leave_an_image_out(selection: Dataset) -> None:
    items = list(selection.ContentSequence)
    items.remove(images_of(selection)[0])
    selection.ContentSequence = Sequence(items)


def select_another_image(selection: Dataset) -> None:
    images_of(selection)[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def lose_the_evidence(selection: Dataset) -> None:
    (study,) = selection.CurrentRequestedProcedureEvidenceSequence
    del study.ReferencedSeriesSequence[0]


@pytest.mark.parametrize(
    "damage",
    [
        name_one_frame_more,
        name_one_frame_less,
        name_the_whole_cine,
        name_a_frame_of_a_still,
        leave_an_image_out,
        select_another_image,
        lose_the_evidence,
    ],
)
def test_a_selection_that_names_something_else_is_noticed(
    result: StudyResult, selection: Dataset, tmp_path: Path, damage: Damage
) -> None:
    with pytest.raises(ReadBackMismatch):
        verify_key_objects(spoiled(selection, damage, tmp_path), result)


# --------------------------------------------------------------------------- presentation states


@pytest.fixture
def state(result: StudyResult) -> Dataset:
    """Of the cine."""
    return build_presentation_states(result)[1]


def test_a_state_is_read_as_the_outlines_that_it_draws(
    result: StudyResult, state: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(state, tmp_path / "state.dcm").path
    found = read_back_presentation_state(path)
    meant = result.images[2].lesions
    assert [(one.tracking_id, one.frame) for one in found.outlines] == [
        (one.tracking_id, one.frame_number) for one in meant
    ]
    assert np.allclose(found.outlines[0].points[:-1], ROUND, atol=1e-4)
    assert {one.layer for one in found.outlines} == set(found.layers)
    verify_presentation_state(path, result)


def test_an_outline_along_the_border_and_a_very_long_one_are_read_as_they_are_drawn(
    result: StudyResult, tmp_path: Path
) -> None:
    outside = ((-3.0, 5.0), (90.0, 5.0), (40.0, 70.0))
    long = tuple((40 + 20 * np.cos(a), 30 + 20 * np.sin(a)) for a in np.linspace(0, 6, 20_001))
    _, still, _ = result.images
    for contour in (outside, long):
        image = replace(still, lesions=(lesion(1, 1, contour),))
        (built,) = build_presentation_states(making.study_result(image))
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
        verify_presentation_state(spoiled(state, damage, tmp_path), result)


@pytest.mark.parametrize("verify", [verify_key_objects, verify_presentation_state])
def test_an_image_is_none_of_them(result: StudyResult, verify: Verify) -> None:
    image: ImageResult = result.images[0]
    with pytest.raises(ReadBackMismatch, match="taken apart"):
        verify(image.source, result)
