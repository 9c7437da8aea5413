from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.seg.verify import verify_segmentation
from dicom.results.segmentation_reader import read_back_segmentation
from tests.dicom import making


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    frames = [making.gray(seed=seed) for seed in range(3)]
    path = making.write_image(tmp_path / "image.dcm", frames)
    masks = [making.disc((64, 80), 20 * number, 30, 9) for number in (1, 2)]
    lesions = [making.lesion(m, number=n, frame=n + 1) for n, m in enumerate(masks, start=1)]
    return making.study_result(making.image_result(path, lesions))


@pytest.fixture
def segmentation(result: StudyResult) -> Dataset:
    return making.build_objects("seg", result)[0]


def test_a_segmentation_is_read_as_masks_by_lesion_and_frame(
    result: StudyResult, segmentation: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(segmentation, tmp_path / "seg.dcm").path
    found = read_back_segmentation(path)
    assert [list(segment.masks) for segment in found.segments] == [[2], [3]]
    assert [segment.tracking_id for segment in found.segments] == ["Lesion 1", "Lesion 2"]
    assert found.sop_instance_uid == segmentation.SOPInstanceUID
    verify_segmentation(path, result)


def flip_a_pixel(segmentation: Dataset) -> None:
    segmentation.PixelData = bytes([segmentation.PixelData[0] ^ 1]) + segmentation.PixelData[1:]


def name_another_frame(segmentation: Dataset) -> None:
    groups = segmentation.PerFrameFunctionalGroupsSequence[0]
    groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 1


def name_another_image(segmentation: Dataset) -> None:
    series = segmentation.ReferencedSeriesSequence[0]
    series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def swap_the_lesions(segmentation: Dataset) -> None:
    first, second = segmentation.SegmentSequence
    first.TrackingUID, second.TrackingUID = second.TrackingUID, first.TrackingUID


def lose_a_frame(segmentation: Dataset) -> None:
    del segmentation.PerFrameFunctionalGroupsSequence[0]


@pytest.mark.parametrize(
    "damage", [flip_a_pixel, name_another_frame, name_another_image, swap_the_lesions, lose_a_frame]
)
def test_a_segmentation_that_differs_from_the_result_is_rejected(
    result: StudyResult,
    segmentation: Dataset,
    tmp_path: Path,
    damage: Callable[[Dataset], None],
) -> None:
    damage(segmentation)
    path = write_dataset(segmentation, tmp_path / "seg.dcm").path
    with pytest.raises(ReadBackMismatch):
        verify_segmentation(path, result)


def test_an_image_is_no_segmentation(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        read_back_segmentation(result.images[0].source)
