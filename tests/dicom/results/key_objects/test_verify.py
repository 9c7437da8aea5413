from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.key_objects.verify import read_back_key_objects, verify_key_objects
from dicom.results.model import StudyResult
from tests.dicom import making
from tests.dicom.results.marked_study import marked_study

Damage = Callable[[Dataset], None]


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    return marked_study(tmp_path)


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
        verify_key_objects(making.spoiled(selection, damage, tmp_path), result)


def test_an_image_is_not_accepted(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        verify_key_objects(result.images[0].source, result)
