from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest

from dicom.errors import InvalidResult
from dicom.files import encode, write_dataset
from dicom.results.model import ImageResult, StudyResult
from dicom.results.seg.verify import verify_segmentation
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.source_image import read_source
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.results.seg.test_build import read_with_highdicom

PROBABILITY = highdicom.seg.SegmentationFractionalTypeValues.PROBABILITY
VARIANTS = ("seg", "seg:binary", "seg:fractional", "seg:labelmap")
SPECS = [variant + option for variant in VARIANTS for option in ("", ":every-frame")]
SHAPE = (64, 80)


@pytest.fixture(scope="module", params=SPECS)
def spec(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


def write_one(result: StudyResult, spec: str, folder: Path) -> Path:
    (built,) = making.build_objects(spec, result)
    return write_dataset(built, folder / "seg.dcm").path


def two_lesions(folder: Path, *, frames: int = 1) -> ImageResult:
    """They overlap; on a cine they are on frames 2 and 3, and the first one on frame 2 alone."""
    pixels = [making.gray(seed=seed) for seed in range(frames)]
    path = making.write_image(folder / "image.dcm", pixels if frames > 1 else pixels[0])
    large, small = making.disc(SHAPE, 30, 30, 14), making.disc(SHAPE, 40, 30, 9)
    lesions = [
        making.lesion(large, number=1, frame=min(2, frames)),
        making.lesion(small, number=2, frame=min(2, frames)),
    ]
    if frames > 1:
        lesions.append(making.lesion(small, number=2, frame=3))
    return making.image_result(path, lesions)


def test_every_variant_of_every_kind_of_image_is_valid_and_holds_its_pixels(
    case: making.Case, spec: str, tmp_path: Path, dciodvfy: Validate
) -> None:
    if case.lesion_count == 0:
        assert making.build_objects(spec, case.result()) == []
        return
    result = case.result_with_probabilities()
    path = write_one(result, spec, tmp_path)
    dciodvfy(path)
    verify_segmentation(path, result)


def test_highdicom_reads_back_the_probabilities(case: making.Case, tmp_path: Path) -> None:
    if case.lesion_count == 0:
        return
    (image,) = case.result_with_probabilities().images
    path = write_one(making.study_result(image), "seg:fractional", tmp_path)
    segmentation = read_with_highdicom(path)
    assert segmentation.segmentation_fractional_type is PROBABILITY
    pixels, frames = pixels_by_frame(segmentation, image)
    for lesion in image.lesions:
        (number,) = segmentation.get_segment_numbers(tracking_uid=lesion.tracking_uid)
        found = pixels[frames.index(lesion.frame_number), ..., number - 1]
        assert lesion.probability is not None
        assert np.array_equal(np.rint(255 * found), lesion.probability)
        assert np.abs(found - lesion.probability / 255).max() < 1e-6


def test_highdicom_reads_back_the_labels(tmp_path: Path) -> None:
    image = two_lesions(tmp_path, frames=4)
    path = write_one(making.study_result(image), "seg:labelmap", tmp_path)
    segmentation = read_with_highdicom(path)
    pixels, frames = pixels_by_frame(segmentation, image)
    assert frames == [2, 3]
    small = image.lesions[1].mask
    assert np.array_equal(pixels[0, ..., 1], small)
    assert np.array_equal(pixels[0, ..., 0], image.lesions[0].mask & ~small)
    assert np.array_equal(pixels[1, ..., 1], small)
    assert not pixels[1, ..., 0].any()


def pixels_by_frame(
    segmentation: highdicom.seg.Segmentation, image: ImageResult
) -> tuple[np.ndarray, list[int]]:
    frames = sorted({lesion.frame_number for lesion in image.lesions})
    if not read_source(image.source).cine:
        still = segmentation.get_pixels_by_source_instance(
            [image.sop_instance_uid], ignore_spatial_locations=True
        )
        return still, frames
    cine = segmentation.get_pixels_by_source_frame(
        image.sop_instance_uid,
        frames,
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    return cine, frames


def test_a_label_map_gives_a_shared_pixel_to_the_smaller_lesion(tmp_path: Path) -> None:
    image = two_lesions(tmp_path)
    spec = "seg:labelmap"
    first = read_back_segmentation(write_one(making.study_result(image), spec, tmp_path))
    turned = replace(image, lesions=image.lesions[::-1])
    second = read_back_segmentation(write_one(making.study_result(turned), spec, tmp_path))
    by_uid = [{one.tracking_uid: one.masks[1] for one in read.segments} for read in (first, second)]
    for lesion in image.lesions:
        assert np.array_equal(by_uid[0][lesion.tracking_uid], by_uid[1][lesion.tracking_uid])
    assert np.array_equal(by_uid[0][image.lesions[1].tracking_uid], image.lesions[1].mask)


def test_segments_are_said_to_overlap_only_when_they_do(tmp_path: Path) -> None:
    image = two_lesions(tmp_path)
    apart = replace(image, lesions=image.lesions[:1])
    for shown, spec, expected in (
        (image, "seg", "YES"),
        (apart, "seg", "NO"),
        (image, "seg:labelmap", "NO"),
    ):
        (built,) = making.build_objects(spec, making.study_result(shown))
        assert built.SegmentsOverlap == expected


def test_the_default_stores_the_mask_as_occupied_pixels(tmp_path: Path) -> None:
    (image,) = making.Case(two_lesions(tmp_path).source, 2).result_with_probabilities().images
    (built,) = making.build_objects("seg", making.study_result(image))
    assert (built.SegmentationType, built.SegmentationFractionalType) == ("FRACTIONAL", "OCCUPANCY")
    path = write_dataset(built, tmp_path / "seg.dcm").path
    for lesion, segment in zip(image.lesions, read_back_segmentation(path).segments, strict=True):
        assert np.array_equal(segment.planes[1], 255 * lesion.mask.astype(np.uint8))


def test_without_a_probability_map_the_mask_is_certain(tmp_path: Path) -> None:
    image = two_lesions(tmp_path)
    path = write_one(making.study_result(image), "seg:fractional", tmp_path)
    planes = [segment.planes[1] for segment in read_back_segmentation(path).segments]
    for plane, lesion in zip(planes, image.lesions, strict=True):
        assert np.array_equal(plane, 255 * lesion.mask.astype(np.uint8))


@pytest.mark.parametrize("spec", VARIANTS)
def test_frames_without_a_lesion_are_stored_only_when_asked_for(tmp_path: Path, spec: str) -> None:
    result = making.study_result(two_lesions(tmp_path, frames=5))
    (few,) = making.build_objects(spec, result)
    (every,) = making.build_objects(f"{spec}:every-frame", result)
    assert referenced_frames(few) == ([2, 3] if spec == "seg:labelmap" else [2, 2, 3])
    each = [1, 2, 3, 4, 5]
    assert referenced_frames(every) == (each if spec == "seg:labelmap" else each + each)


def referenced_frames(segmentation: pydicom.Dataset) -> list[int]:
    return [
        int(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for groups in segmentation.PerFrameFunctionalGroupsSequence
    ]


def test_each_variant_has_uids_of_its_own_and_always_the_same(tmp_path: Path) -> None:
    result = making.study_result(two_lesions(tmp_path, frames=4))
    built = [making.build_objects(spec, result)[0] for spec in SPECS]
    assert len({one.SOPInstanceUID for one in built}) == len(SPECS)
    assert len({one.SeriesInstanceUID for one in built}) == len(SPECS)
    again = [making.build_objects(spec, result)[0] for spec in SPECS]
    assert [encode(one) for one in built] == [encode(one) for one in again]


def test_every_segment_has_a_color_and_an_algorithm(tmp_path: Path, spec: str) -> None:
    (built,) = making.build_objects(spec, making.study_result(two_lesions(tmp_path)))
    for segment in built.SegmentSequence:
        if segment.SegmentNumber:  # 0 is a label map's background
            assert len(segment.RecommendedDisplayCIELabValue) == 3
            algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
            assert algorithm.AlgorithmName == making.ALGORITHM.name
            assert algorithm.AlgorithmVersion == making.ALGORITHM.version
    assert built["ContentCreatorName"].is_empty  # type 2: present but empty without a reader


@pytest.mark.parametrize(
    ("probability", "problem"),
    [
        (np.zeros((64, 79), np.uint8), "size"),
        (np.full(SHAPE, 0.5, np.float32), "whole numbers"),
    ],
)
def test_a_probability_map_that_is_none_is_refused(
    tmp_path: Path, probability: np.ndarray, problem: str
) -> None:
    image = two_lesions(tmp_path)
    wrong = replace(image.lesions[0], probability=probability)
    with pytest.raises(InvalidResult, match=problem):
        making.build_objects("seg", making.study_result(replace(image, lesions=(wrong,))))
