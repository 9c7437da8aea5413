from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.heatmap_sc.verify import read_back_capture, verify_heatmap_capture
from dicom.results.model import StudyResult
from tests.dicom import making

SHAPE = (64, 80)
LESION = making.disc(SHAPE, 40, 30, 14)
Damage = Callable[[Dataset], None]


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    """A gray still, and a cine in color with heat maps of frames 2 and 4, two lesions on frame 2."""
    still = making.write_image(tmp_path / "1.dcm")
    frames = [making.color(seed=seed) for seed in range(5)]
    cine = making.write_image(tmp_path / "2.dcm", frames, instance_number=2)
    heat = making.heat(making.disc(SHAPE, 40, 30, 8))
    both = {2: heat, 4: np.roll(heat, 9, axis=1)}
    lesions = [
        making.lesion(LESION, frame=2),
        making.lesion(making.disc(SHAPE, 40, 40, 14), frame=2),
    ]
    return making.study_result(
        making.image_result(still, heatmaps={1: heat}),
        making.image_result(cine, lesions, heatmaps=both),
    )


@pytest.fixture(params=["native", "jpeg"])
def captures(request: pytest.FixtureRequest, result: StudyResult) -> list[Dataset]:
    """Of the still, and of the cine."""
    return making.build_objects(f"heatmap-sc:{request.param}", result)


def test_pictures_are_read_as_what_they_are_of(
    result: StudyResult, captures: list[Dataset], tmp_path: Path
) -> None:
    for capture, image, frames in zip(captures, result.images, [(), (2, 4)], strict=True):
        path = write_dataset(capture, tmp_path / "picture.dcm").path
        verify_heatmap_capture(path, result)
        found = read_back_capture(path)
        assert (found.source_sop_instance_uid, found.frames) == (image.sop_instance_uid, frames)
        assert found.shape[0] == len(image.heatmaps)


def pixels(capture: Dataset) -> np.ndarray:
    shape = int(capture.get("NumberOfFrames", 1)), capture.Rows, capture.Columns, 3
    return np.frombuffer(capture.PixelData, np.uint8)[: np.prod(shape)].reshape(shape).copy()


def show_the_frames_in_another_order(capture: Dataset) -> None:
    capture.PixelData = pixels(capture)[::-1].tobytes()


def change_a_pixel_without_heat(capture: Dataset) -> None:
    changed = pixels(capture)
    changed[0, 0, 0, 0] ^= 1
    capture.PixelData = changed.tobytes()


def write_beside_the_picture(capture: Dataset) -> None:
    changed = pixels(capture)
    changed[0, 5, SHAPE[1] + 5] = 255
    capture.PixelData = changed.tobytes()


def lay_no_heat_over_the_hottest_place(capture: Dataset) -> None:
    changed = pixels(capture)
    changed[1, 20:40, 30:60] //= 2
    capture.PixelData = changed.tobytes()


def lose_an_outline(capture: Dataset) -> None:
    changed = pixels(capture)
    top = np.nonzero(LESION)[0].min()
    changed[0, top - 2 : top + 2, 30:50] = 0
    capture.PixelData = changed.tobytes()


def lose_the_legend(capture: Dataset) -> None:
    changed = pixels(capture)
    changed[:, SHAPE[0] :] = 0
    capture.PixelData = changed.tobytes()


def name_other_frames(capture: Dataset) -> None:
    capture.SourceImageSequence[0].ReferencedFrameNumber = [2, 5]


def name_other_pages(capture: Dataset) -> None:
    capture.PageNumberVector = [1, 2]


def be_of_another_image(capture: Dataset) -> None:
    capture.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def cut_off_the_legend(capture: Dataset) -> None:
    capture.Rows = SHAPE[0]


def lose_a_frame(capture: Dataset) -> None:
    capture.NumberOfFrames = 1


@pytest.mark.parametrize(
    "damage",
    [
        show_the_frames_in_another_order,
        change_a_pixel_without_heat,
        write_beside_the_picture,
        lay_no_heat_over_the_hottest_place,
        lose_an_outline,
        lose_the_legend,
    ],
)
def test_a_native_picture_of_something_else_is_noticed(
    result: StudyResult, tmp_path: Path, damage: Damage
) -> None:
    _, capture = making.build_objects("heatmap-sc", result)
    with pytest.raises(ReadBackMismatch):
        verify_heatmap_capture(making.spoiled(capture, damage, tmp_path), result)


@pytest.mark.parametrize(
    "damage",
    [name_other_frames, name_other_pages, be_of_another_image, cut_off_the_legend, lose_a_frame],
)
def test_a_picture_that_differs_from_the_result_is_rejected(
    result: StudyResult, captures: list[Dataset], tmp_path: Path, damage: Damage
) -> None:
    with pytest.raises(ReadBackMismatch):
        verify_heatmap_capture(making.spoiled(captures[1], damage, tmp_path), result)


def test_an_image_is_no_picture_of_a_heat_map(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        verify_heatmap_capture(result.images[0].source, result)
