from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.files import read_without_pixels, write_dataset
from dicom.images.frames import decode_frames
from dicom.images.header import read_header
from dicom.images.header_gate import find_header_refusal
from dicom.images.regions import find_bmode_region
from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making
from tests.dicom.conftest import Validate

PICTURES = {
    "gray": [making.gray(63, 81)],
    "color": [making.color(63, 81)],
    "gray cine": [making.gray(63, 81, seed) for seed in range(3)],
    "color cine": [making.color(63, 81, seed) for seed in range(3)],
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
@pytest.mark.parametrize("spacing_mm", [None, 0.07])
def test_an_image_is_valid_and_decodes_to_the_same_pixels(
    tmp_path: Path, dciodvfy: Validate, kind: str, syntax: str, spacing_mm: float | None
) -> None:
    frames = PICTURES[kind]
    path = making.write_image(
        tmp_path / "image.dcm",
        frames if "cine" in kind else frames[0],
        spacing_mm=spacing_mm,
        transfer_syntax_uid=syntax,
    )
    dciodvfy(path)
    tolerance = 0 if syntax == ExplicitVRLittleEndian else 12
    for decoded, frame in zip(decode_frames(path), frames, strict=True):
        assert decoded.shape == frame.shape
        assert np.abs(decoded.astype(int) - frame).max() <= tolerance


def test_an_image_passes_the_input_gate_and_contains_its_study(tmp_path: Path) -> None:
    header = read_header(making.write_image(tmp_path / "image.dcm"))
    assert find_header_refusal(header) is None
    assert header.patient.patient_name == making.STUDY.patient_name
    assert header.laterality == "L"
    assert header.study_date == "20260506"


def test_the_spacing_and_the_region_can_be_read_back(tmp_path: Path) -> None:
    box = (8, 4, 72, 60)
    dataset = build_ultrasound_image(making.gray(), study=making.STUDY, spacing_mm=0.09, region=box)
    path = write_dataset(dataset, tmp_path / "image.dcm").path
    region = find_bmode_region(read_without_pixels(path), making.gray())
    assert (region.x0, region.y0, region.x1, region.y1) == box
    assert region.spacing_mm == pytest.approx((0.09, 0.09))


def test_a_cine_contains_its_frame_time(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(PICTURES["gray cine"], study=making.STUDY, frame_time_ms=33.3)
    header = read_header(write_dataset(dataset, tmp_path / "cine.dcm").path)
    assert header.frame_time_ms == pytest.approx(33.3)
    assert header.number_of_frames == 3


def test_uids_derive_from_study_and_numbers() -> None:
    first = build_ultrasound_image(making.gray(), study=making.STUDY)
    again = build_ultrasound_image(making.gray(), study=making.STUDY)
    other = build_ultrasound_image(making.gray(), study=making.STUDY, instance_number=2)
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == other.SeriesInstanceUID


def test_unknown_laterality_is_valid(tmp_path: Path, dciodvfy: Validate) -> None:
    study = replace(making.STUDY, laterality="", birth_date="", accession_number="")
    dciodvfy(making.write_image(tmp_path / "image.dcm", study=study))


@pytest.mark.parametrize(
    "pixels",
    [
        [],
        [making.gray(), making.gray(32, 32)],
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4), np.uint16),
    ],
)
def test_invalid_frames_are_an_error(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="frame"):
        build_ultrasound_image(pixels, study=making.STUDY)


def test_an_unsupported_transfer_syntax_is_an_error() -> None:
    with pytest.raises(ValueError, match="JPEG Baseline"):
        build_ultrasound_image(making.gray(), study=making.STUDY, transfer_syntax_uid=JPEG2000)
