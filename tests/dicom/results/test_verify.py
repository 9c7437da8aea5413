from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.verify import verify_written
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


def test_what_was_written_is_what_is_there(segmentation: Dataset, tmp_path: Path) -> None:
    path = write_dataset(segmentation, tmp_path / "seg.dcm").path
    verify_written(path, segmentation)


@pytest.mark.parametrize("position", [200, -1])
def test_one_changed_byte_is_noticed(segmentation: Dataset, tmp_path: Path, position: int) -> None:
    path = write_dataset(segmentation, tmp_path / "seg.dcm").path
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ReadBackMismatch):
        verify_written(path, segmentation)
