from collections.abc import Mapping
from pathlib import Path

import pytest

from dicom.errors import InvalidHeader
from dicom.images.image_plane import parse_image_plane
from dicom.results.source_image import read_source
from tests.dicom import making


def source_with(folder: Path, changes: Mapping[str, object]) -> Path:
    return making.write_image(folder / "image.dcm", changes={**making.PLANE, **changes})


def test_the_plane_has_the_values_of_the_header_digit_by_digit(tmp_path: Path) -> None:
    plane = parse_image_plane(read_source(source_with(tmp_path, {"SliceThickness": "1.50"})))
    assert plane.frame_of_reference_uid == making.PLANE["FrameOfReferenceUID"]
    assert plane.position_reference == ""
    assert list(plane.position_mm) == making.PLANE["ImagePositionPatient"]
    assert list(plane.orientation) == making.PLANE["ImageOrientationPatient"]
    assert list(plane.spacing_mm) == making.PLANE["PixelSpacing"]
    assert plane.thickness_mm == "1.50"


@pytest.mark.parametrize("thickness", ["", "0", "-1"])
def test_an_invalid_thickness_is_empty(tmp_path: Path, thickness: str) -> None:
    plane = parse_image_plane(read_source(source_with(tmp_path, {"SliceThickness": thickness})))
    assert plane.thickness_mm == ""


@pytest.mark.parametrize(
    ("keyword", "value", "problem"),
    [
        ("FrameOfReferenceUID", "", "missing"),
        ("ImagePositionPatient", "", "missing"),
        ("ImageOrientationPatient", "", "missing"),
        ("PixelSpacing", "", "missing"),
        ("ImagePositionPatient", ["1", "2"], "not 3 numbers"),
        ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"], "right angles"),
        ("ImageOrientationPatient", ["2", "0", "0", "0", "1", "0"], "right angles"),
        ("ImageOrientationPatient", ["0"] * 6, "right angles"),
        ("PixelSpacing", ["0.1", "0"], "not above zero"),
        ("PixelSpacing", ["0.1", "-0.1"], "not above zero"),
    ],
)
def test_an_incomplete_plane_is_an_error_that_names_the_attribute(
    tmp_path: Path, keyword: str, value: object, problem: str
) -> None:
    with pytest.raises(InvalidHeader, match=problem) as caught:
        parse_image_plane(read_source(source_with(tmp_path, {keyword: value})))
    assert caught.value.keyword == keyword


def test_a_damaged_value_is_an_error(tmp_path: Path) -> None:
    path = source_with(tmp_path, {})
    for good, bad, keyword in (
        (b"-12.50\\3\\40.25", b"-12.50\\3\\40 25", "ImagePositionPatient"),
        (b"1.2.826.0.1.3680043.8.498.9", b"1.2.826.0.1.3680043.8.498.x", "FrameOfReferenceUID"),
        (b"0.080\\0.08", b"0.080\\ nan", "PixelSpacing"),
    ):
        damaged = tmp_path / "damaged.dcm"
        content = path.read_bytes()
        assert content.count(good) == 1
        damaged.write_bytes(content.replace(good, bad))
        with pytest.raises(InvalidHeader) as caught:
            parse_image_plane(read_source(damaged))
        assert caught.value.keyword == keyword


def test_a_cine_has_no_plane_for_each_frame(tmp_path: Path) -> None:
    frames = [making.gray(seed=seed) for seed in range(2)]
    path = making.write_image(tmp_path / "cine.dcm", frames, changes=making.PLANE)
    with pytest.raises(InvalidHeader) as caught:
        parse_image_plane(read_source(path))
    assert caught.value.keyword == "NumberOfFrames"
