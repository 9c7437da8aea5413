import importlib.util
import json
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.pm.sop import pmread
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom.errors import InvalidResult, ReadBackMismatch
from dicom.files import encode, write_dataset
from dicom.results.heatmap_pm.build import find_omissions
from dicom.results.heatmap_pm.verify import verify_parametric_map
from dicom.results.model import ImageResult
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.peers import find_program

HEAT = making.heat(making.disc((64, 80), 30, 30, 9))
WEIGHTS = HEAT / np.float32(255)


def still(folder: Path, heat: NDArray[np.uint8] = HEAT, **changes: object) -> ImageResult:
    """A still with a plane and Pixel Spacing, but without a calibrated region."""
    path = making.write_image(folder / "image.dcm", changes={**making.PLANE, **changes})
    return making.image_result(path, heatmaps={1: heat})


def written(image: ImageResult, folder: Path) -> Path:
    (built,) = making.build_objects("heatmap-pm", making.study_result(image))
    return write_dataset(built, folder / "map.dcm").path


@pytest.mark.parametrize("thickness", [None, "2.5"])
@pytest.mark.parametrize("side", ["L", ""])
def test_it_is_valid_and_lies_where_the_image_lies(
    tmp_path: Path, dciodvfy: Validate, thickness: str | None, side: str
) -> None:
    changes = {**making.PLANE, **({"SliceThickness": thickness} if thickness else {})}
    facts = replace(making.STUDY, laterality=side)
    source = making.write_image(tmp_path / "image.dcm", changes=changes, study=facts)
    image = making.image_result(source, heatmaps={1: HEAT})
    path = written(image, tmp_path)
    dciodvfy(path)
    verify_parametric_map(path, making.study_result(image))
    made = pydicom.dcmread(path)
    (measures,) = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert "SpacingBetweenSlices" not in measures  # highdicom adds one
    assert str(measures.get("SliceThickness", None)) == str(thickness)


def test_highdicom_reads_the_weights_and_the_plane(tmp_path: Path) -> None:
    read = pmread(written(still(tmp_path), tmp_path))
    assert np.array_equal(read.get_volume().array, WEIGHTS[np.newaxis])
    geometry = read.get_volume_geometry()
    assert geometry is not None
    assert read.FrameOfReferenceUID == making.PLANE["FrameOfReferenceUID"]
    half = 0.70710678118655
    rows, columns, origin = (geometry.affine[:3, axis] for axis in (1, 2, 3))
    assert np.allclose(rows, [0, 0, -0.08])
    assert np.allclose(columns, [half * 0.08, half * 0.08, 0])
    assert np.allclose(origin, [-12.5, 3, 40.25])


@pytest.fixture(scope="module")
def paramap2itkimage() -> str:
    """dcmqi's reader of parametric maps."""
    wheel = importlib.util.find_spec("dcmqi")
    places = wheel.submodule_search_locations if wheel else None
    return find_program(
        "paramap2itkimage", *(f"{place}/bin/paramap2itkimage" for place in places or ())
    )


@pytest.mark.peer
def test_dcmqi_reads_the_same_weights_in_the_same_place(
    tmp_path: Path, paramap2itkimage: str
) -> None:
    path = written(still(tmp_path), tmp_path)
    places = ["--inputDICOM", str(path), "--outputDirectory", str(tmp_path)]
    command = [paramap2itkimage, *places, "-t", "mhd", "-n", "out"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads((tmp_path / "out-meta.json").read_text())
    assert told["QuantityValueCode"]["CodeValue"] == "130403"
    assert told["MeasurementUnitsCode"]["CodeValue"] == "1"
    assert told["FrameLaterality"] == "L"
    lines = (tmp_path / "out-pmap.mhd").read_text().splitlines()
    header = dict(line.split(" = ", 1) for line in lines)
    assert (header["ElementType"], header["DimSize"]) == ("MET_FLOAT", "80 64 1")
    assert np.allclose(numbers(header["Offset"]), [-12.5, 3, 40.25])
    assert np.allclose(numbers(header["ElementSpacing"])[:2], [0.08, 0.08])
    half = 0.70710678118655
    assert np.allclose(numbers(header["TransformMatrix"])[:6], [half, half, 0, 0, 0, -1])
    values = zlib.decompress((tmp_path / header["ElementDataFile"]).read_bytes())
    assert np.array_equal(np.frombuffer(values, dtype="<f4").reshape(64, 80), WEIGHTS)


def numbers(text: str) -> list[float]:
    return [float(value) for value in text.split()]


def test_the_values_have_a_quantity_a_unit_and_an_algorithm(tmp_path: Path) -> None:
    made = pydicom.dcmread(written(still(tmp_path), tmp_path))
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    quantity, *algorithm = mapping.QuantityDefinitionSequence
    code = quantity.ConceptCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("130403", "DCM")
    assert [item.TextValue for item in algorithm] == [
        making.ALGORITHM.name,
        making.ALGORITHM.version,
        f"classifier sha256:{making.ALGORITHM.classifier_digest}",
    ]
    assert made.ContentQualification == "RESEARCH"
    assert made.ContributingEquipmentSequence[-1].DeviceUID == making.ALGORITHM.device_uid
    (source,) = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    assert source.SourceImageSequence[0].SpatialLocationsPreserved == "YES"
    assert mapping.LUTExplanation == "Grad-CAM of the class normal"


def test_an_image_without_a_plane_gets_none_and_the_reason_is_told(tmp_path: Path) -> None:
    result = making.study_result(still(tmp_path, FrameOfReferenceUID=""))
    assert making.build_objects("heatmap-pm", result) == []
    assert find_omissions(result) == ["The header's FrameOfReferenceUID is missing."]


def test_an_image_with_a_plane_has_no_reason_and_one_without_heat_maps_neither(
    tmp_path: Path,
) -> None:
    image = still(tmp_path)
    assert find_omissions(making.study_result(image)) == []
    cold = making.study_result(replace(image, heatmaps={}))
    assert (making.build_objects("heatmap-pm", cold), find_omissions(cold)) == ([], [])


def test_numbers_too_long_for_dicom_are_written_as_near_as_it_allows(tmp_path: Path) -> None:
    image = still(tmp_path)
    content = image.source.read_bytes()
    long = b"-12.500000000000001\\3\\40.2500000000000001 "  # 19 and 19 characters
    short = b"-12.50\\3\\40.25"
    at = content.index(short)
    length = len(long).to_bytes(2, "little")
    image.source.write_bytes(content[: at - 2] + length + long + content[at + len(short) :])
    verify_parametric_map(written(image, tmp_path), making.study_result(image))


def test_the_lossy_compression_of_the_image_is_repeated(tmp_path: Path) -> None:
    image = still(tmp_path, LossyImageCompression="01", LossyImageCompressionRatio="12.5")
    made = pydicom.dcmread(written(image, tmp_path))
    assert (made.LossyImageCompression, float(made.LossyImageCompressionRatio)) == ("01", 12.5)


def test_building_again_makes_the_same_bytes(tmp_path: Path) -> None:
    result = making.study_result(still(tmp_path))
    (first,), (again,) = (making.build_objects("heatmap-pm", result) for _ in range(2))
    assert encode(first) == encode(again)


def test_a_heat_map_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match="size"):
        making.build_objects("heatmap-pm", making.study_result(still(tmp_path, HEAT[1:])))


def move(made: Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[2] = 41


def leave(made: Dataset) -> None:
    made.FrameOfReferenceUID = "1.2.3"


def rescale(made: Dataset) -> None:
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    mapping.RealWorldValueSlope = 2.0


def rename(made: Dataset) -> None:
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue = "130404"


def orphan(made: Dataset) -> None:
    frame = made.PerFrameFunctionalGroupsSequence[0]
    frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def behead(made: Dataset) -> None:
    del made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (move, "another place"),
        (leave, "another place"),
        (rescale, "differs"),
        (rename, "not Grad-CAM"),
        (orphan, "does not have"),
        (behead, "cannot be parsed"),
    ],
)
def test_a_map_that_differs_from_the_result_is_rejected(
    tmp_path: Path, change: Callable[[Dataset], None], what: str
) -> None:
    image = still(tmp_path)
    made = pydicom.dcmread(written(image, tmp_path))
    change(made)
    path = write_dataset(made, tmp_path / "changed.dcm").path
    with pytest.raises(ReadBackMismatch, match=what):
        verify_parametric_map(path, making.study_result(image))


def test_a_map_of_other_weights_or_frames_is_noticed(tmp_path: Path) -> None:
    image = still(tmp_path)
    path = written(image, tmp_path)
    with pytest.raises(ReadBackMismatch, match="differs"):
        verify_parametric_map(path, making.study_result(replace(image, heatmaps={1: HEAT // 2})))
    with pytest.raises(ReadBackMismatch, match="frames"):
        verify_parametric_map(path, making.study_result(replace(image, heatmaps={2: HEAT})))
