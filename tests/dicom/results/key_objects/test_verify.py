from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.key_objects.verify import read_back_key_objects, verify_key_objects
from dicom.results.model import LesionResult, StudyResult
from tests.dicom import making

SHAPE = (64, 80)
ROUND = tuple((40 + 20 * np.cos(a), 30 + 20 * np.sin(a)) for a in np.linspace(0, 6, 60))
Damage = Callable[[Dataset], None]


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


@pytest.fixture
def selection(result: StudyResult) -> Dataset:
    return making.build_objects("key-objects", result)[0]


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


def test_an_image_is_not_accepted(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        verify_key_objects(result.images[0].source, result)
