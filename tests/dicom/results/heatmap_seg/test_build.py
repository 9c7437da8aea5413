from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray

from dicom.errors import InvalidResult, ReadBackMismatch
from dicom.files import encode, write_dataset
from dicom.results.heatmap_seg.verify import verify_heatmap_segmentation
from dicom.results.model import ImageResult
from tests.dicom import making
from tests.dicom.conftest import Validate

MASK = making.disc((64, 80), 30, 30, 9)
HEAT = making.heat(MASK)


def still(folder: Path, heatmaps: Mapping[int, NDArray[np.uint8]]) -> ImageResult:
    return making.image_result(making.write_image(folder / "image.dcm"), heatmaps=heatmaps)


def test_every_kind_of_image_gets_a_valid_heat_map(
    case: making.Case, tmp_path: Path, dciodvfy: Validate
) -> None:
    result = case.result()
    built = making.build_objects("heatmap-seg", result)
    assert len(built) == (1 if case.lesion_count else 0)
    for one in built:
        path = write_dataset(one, tmp_path / "heat.dcm").path
        dciodvfy(path)
        verify_heatmap_segmentation(path, result)
        assert one.SegmentationType == "FRACTIONAL"


def test_highdicom_reads_the_weights_of_each_frame(tmp_path: Path) -> None:
    frames = [making.gray(seed=seed) for seed in range(4)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    image = making.image_result(path, heatmaps={2: HEAT, 4: HEAT // 2}, spacing_mm=(0.08, 0.08))
    (built,) = making.build_objects("heatmap-seg", making.study_result(image))
    read = highdicom.seg.segread(write_dataset(built, tmp_path / "heat.dcm").path)
    pixels = read.get_pixels_by_source_frame(
        image.sop_instance_uid, [2, 4], ignore_spatial_locations=True, rescale_fractional=False
    )
    assert np.array_equal(pixels[0, ..., 0], HEAT)
    assert np.array_equal(pixels[1, ..., 0], HEAT // 2)


def test_its_one_segment_is_grad_cam_of_the_class_by_the_classifiers_weights(
    tmp_path: Path,
) -> None:
    image = still(tmp_path, {1: HEAT})
    (built,) = making.build_objects("heatmap-seg", making.study_result(image))
    (segment,) = built.SegmentSequence
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("130403", "DCM")
    assert segment.SegmentLabel == "Grad-CAM of the class normal"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert making.ALGORITHM.classifier_digest in algorithm.AlgorithmParameters
    assert "TrackingUID" not in segment


def test_an_image_without_heat_maps_gets_none(tmp_path: Path) -> None:
    assert making.build_objects("heatmap-seg", making.study_result(still(tmp_path, {}))) == []


def test_building_again_makes_the_same_bytes(tmp_path: Path) -> None:
    result = making.study_result(still(tmp_path, {1: HEAT}))
    (first,), (again,) = (making.build_objects("heatmap-seg", result) for _ in range(2))
    assert encode(first) == encode(again)


@pytest.mark.parametrize(
    ("heatmaps", "problem"), [({2: HEAT}, "frame"), ({0: HEAT}, "frame"), ({1: HEAT[1:]}, "size")]
)
def test_a_heat_map_that_does_not_fit_is_refused(
    tmp_path: Path, heatmaps: Mapping[int, NDArray[np.uint8]], problem: str
) -> None:
    with pytest.raises(InvalidResult, match=problem):
        making.build_objects("heatmap-seg", making.study_result(still(tmp_path, heatmaps)))


@pytest.mark.parametrize(
    ("meant", "what"), [({1: HEAT // 2}, "differs"), ({}, "frames"), ({2: HEAT}, "frames")]
)
def test_a_heat_map_that_differs_from_the_result_is_rejected(
    tmp_path: Path, meant: Mapping[int, NDArray[np.uint8]], what: str
) -> None:
    image = still(tmp_path, {1: HEAT})
    (built,) = making.build_objects("heatmap-seg", making.study_result(image))
    path = write_dataset(built, tmp_path / "heat.dcm").path
    with pytest.raises(ReadBackMismatch, match=what):
        verify_heatmap_segmentation(path, making.study_result(replace(image, heatmaps=meant)))
    with pytest.raises(ReadBackMismatch, match="image"):
        verify_heatmap_segmentation(
            path, making.study_result(replace(image, sop_instance_uid="1.2.3"))
        )
