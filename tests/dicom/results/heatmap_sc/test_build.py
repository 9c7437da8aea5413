from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.errors import InvalidResult
from dicom.files import encode, write_dataset
from dicom.images.frames import decode_frames
from dicom.images.header import read_header
from dicom.images.header_gate import find_header_refusal
from dicom.results.heatmap_sc.picture import Drawing
from dicom.results.heatmap_sc.verify import verify_heatmap_capture
from dicom.results.model import StudyResult
from tests.dicom import making
from tests.dicom.conftest import Validate

MASK = making.disc((64, 80), 30, 30, 9)
HEAT = making.heat(MASK)
SYNTAXES = {"heatmap-sc": ExplicitVRLittleEndian, "heatmap-sc:jpeg": JPEGBaseline8Bit}


def cine(folder: Path) -> StudyResult:
    frames = [making.color(seed=seed) for seed in range(5)]
    path = making.write_image(folder / "cine.dcm", frames)
    image = making.image_result(path, heatmaps={4: HEAT, 2: HEAT // 2}, label="malignant")
    return making.study_result(image)


@pytest.mark.parametrize("spec", SYNTAXES)
def test_every_kind_of_image_gets_a_valid_picture(
    case: making.Case, spec: str, tmp_path: Path, dciodvfy: Validate
) -> None:
    result = case.result()
    built = making.build_objects(spec, result)
    assert len(built) == (1 if case.lesion_count else 0)
    for one in built:
        path = write_dataset(one, tmp_path / "picture.dcm").path
        dciodvfy(path)
        assert len(list(decode_frames(path))) == len(result.images[0].heatmaps)
        verify_heatmap_capture(path, result)


def test_the_frames_are_those_with_heat_maps_in_their_order(tmp_path: Path) -> None:
    result = cine(tmp_path)
    (built,) = making.build_objects("heatmap-sc", result)
    path = write_dataset(built, tmp_path / "picture.dcm").path
    assert list(built.PageNumberVector) == [2, 4]
    assert list(built.SourceImageSequence[0].ReferencedFrameNumber) == [2, 4]
    second, fourth = decode_frames(result.images[0].source, [1, 3])
    drawing = Drawing(result.images[0])
    for shown, expected in zip(
        decode_frames(path), (drawing.draw(second, 2), drawing.draw(fourth, 4)), strict=True
    ):
        assert np.array_equal(shown, expected)


def test_our_own_picture_is_never_analyzed(tmp_path: Path) -> None:
    (built,) = making.build_objects("heatmap-sc", cine(tmp_path))
    refusal = find_header_refusal(read_header(write_dataset(built, tmp_path / "picture.dcm").path))
    assert refusal is not None
    assert refusal.code == "derived"


def test_each_loss_of_the_picture_and_its_source_is_told(tmp_path: Path) -> None:
    pixels = making.color()
    for syntax, count in ((ExplicitVRLittleEndian, 0), (JPEGBaseline8Bit, 1)):
        path = making.write_image(tmp_path / "image.dcm", pixels, transfer_syntax_uid=syntax)
        result = making.study_result(making.image_result(path, heatmaps={1: HEAT}))
        for more, (spec, picture_syntax) in enumerate(SYNTAXES.items()):
            (built,) = making.build_objects(spec, result)
            file = write_dataset(built, tmp_path / "picture.dcm").path
            found = pydicom.dcmread(file)
            assert found.file_meta.TransferSyntaxUID == picture_syntax
            steps = count + more
            assert found.LossyImageCompression == ("01" if steps else "00")
            methods = found.get("LossyImageCompressionMethod")
            assert (methods or "") == ["", "ISO_10918_1", ["ISO_10918_1"] * 2][steps]


@pytest.mark.parametrize(("said", "told"), [("NO", "NO"), ("YES", "YES"), (None, "YES")])
def test_burned_in_names_are_never_denied(tmp_path: Path, said: str | None, told: str) -> None:
    changes = {"BurnedInAnnotation": said}
    path = making.write_image(tmp_path / "image.dcm", changes=changes)
    result = making.study_result(making.image_result(path, heatmaps={1: HEAT}))
    (built,) = making.build_objects("heatmap-sc", result)
    assert built.BurnedInAnnotation == told


def test_native_and_jpeg_have_uids_of_their_own_and_always_the_same_bytes(tmp_path: Path) -> None:
    result = cine(tmp_path)
    built = [making.build_objects(spec, result)[0] for spec in (*SYNTAXES, *SYNTAXES)]
    assert len({one.SOPInstanceUID for one in built}) == 2
    assert [encode(one) for one in built[:2]] == [encode(one) for one in built[2:]]


def test_a_heat_map_of_another_size_is_refused(tmp_path: Path) -> None:
    (image,) = cine(tmp_path).images
    wrong = replace(image, heatmaps={1: HEAT[1:]})
    with pytest.raises(InvalidResult, match="size"):
        making.build_objects("heatmap-sc", making.study_result(wrong))
