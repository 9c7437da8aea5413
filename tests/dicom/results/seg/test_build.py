from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from dicom.errors import InvalidResult
from dicom.files import encode, write_dataset
from dicom.results.model import ImageResult, StudyResult
from dicom.results.seg.build import Variant
from dicom.results.seg.verify import verify_segmentation
from dicom.results.source_image import read_source
from dicom.storage_classes import RETIRED_ULTRASOUND
from dicom.uids import derived_uid
from tests.dicom import making
from tests.dicom.conftest import Validate

FRACTION = highdicom.seg.SegmentationFractionalTypeValues


def write_all(result: StudyResult, folder: Path) -> list[Path]:
    built = making.build_objects("seg", result)
    return [write_dataset(one, folder / f"{n}.seg.dcm").path for n, one in enumerate(built)]


def test_every_kind_of_image_gets_a_valid_segmentation(
    case: making.Case, tmp_path: Path, dciodvfy: Validate
) -> None:
    result = case.result()
    paths = write_all(result, tmp_path)
    assert len(paths) == (1 if case.lesion_count else 0)
    for path in paths:
        dciodvfy(path)
        verify_segmentation(path, result)


def test_highdicom_reads_back_every_pixel(case: making.Case, tmp_path: Path) -> None:
    result = case.result()
    for path in write_all(result, tmp_path):
        assert_highdicom_agrees(path, result.images[0])


def assert_highdicom_agrees(path: Path, image: ImageResult) -> None:
    """On the masks or, of a fractional one, on the probabilities."""
    segmentation = read_with_highdicom(path)
    frames = sorted({lesion.frame_number for lesion in image.lesions})
    if read_source(image.source).cine:
        pixels = segmentation.get_pixels_by_source_frame(
            image.sop_instance_uid,
            frames,
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    else:
        pixels = segmentation.get_pixels_by_source_instance(
            [image.sop_instance_uid], ignore_spatial_locations=True
        )
    for lesion in image.lesions:
        (number,) = segmentation.get_segment_numbers(tracking_uid=lesion.tracking_uid)
        found = pixels[frames.index(lesion.frame_number), ..., number - 1]
        graded = segmentation.segmentation_fractional_type is FRACTION.PROBABILITY
        meant = lesion.probability if graded else lesion.mask
        assert meant is not None
        assert np.array_equal(np.rint(255 * found) if graded else found, meant)


def read_with_highdicom(path: Path) -> highdicom.seg.Segmentation:
    """Read `path` without Pixel Measures if it has no Pixel Spacing, which highdicom requires there
    (PS3.3 C.7.6.16.2.1 does not).
    """
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "PixelSpacing" not in shared.PixelMeasuresSequence[0]:
        with pytest.raises(AttributeError, match="required attributes for a Pixel Measures"):
            highdicom.seg.segread(path)  # when this fails, docs/conformance/viewers.md has news
        del shared.PixelMeasuresSequence
    return highdicom.seg.Segmentation.from_dataset(dataset)


def test_building_again_makes_the_same_bytes(case: making.Case) -> None:
    first, again = (making.build_objects("seg", case.result()) for _ in range(2))
    assert [encode(one) for one in first] == [encode(one) for one in again]


def test_another_analysis_of_the_same_image_makes_other_objects(tmp_path: Path) -> None:
    image = one_lesion(tmp_path)
    (first,) = making.build_objects("seg", making.study_result(image))
    (second,) = making.build_objects("seg", making.study_result(image, analysis_id="analysis-2"))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


def test_the_first_release_made_objects_of_other_uids_from_the_same_analysis(
    tmp_path: Path,
) -> None:
    """A PACS may have them: it would take other content under their UIDs for a conflict."""
    image = one_lesion(tmp_path)
    (built,) = making.build_objects("seg:binary", making.study_result(image))
    parts = "analysis-1", image.sop_instance_uid, "BINARY", "lesion-frames"
    assert built.SOPInstanceUID != derived_uid("seg", *parts)
    assert built.SeriesInstanceUID != derived_uid("seg-series", *parts)


def one_lesion(folder: Path) -> ImageResult:
    path = making.write_image(folder / "image.dcm")
    return making.image_result(path, [making.lesion(making.disc((64, 80), 30, 30, 9))])


def test_each_image_with_lesions_has_a_series_of_its_own(tmp_path: Path) -> None:
    mask = making.disc((64, 80), 30, 30, 9)
    paths = [
        making.write_image(tmp_path / f"{number}.dcm", instance_number=number)
        for number in (1, 2, 3)
    ]
    images = [making.image_result(path, [making.lesion(mask)]) for path in paths[:2]]
    built = making.build_objects("seg", making.study_result(*images, making.image_result(paths[2])))
    assert len({one.SeriesInstanceUID for one in built}) == 2
    assert [one.SeriesNumber for one in built] == [9001, 9002]


def test_a_segment_names_its_lesion_breast_and_weights(tmp_path: Path) -> None:
    (built,) = making.build_objects("seg", making.study_result(one_lesion(tmp_path)))
    (segment,) = built.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Lesion"
    region = segment.AnatomicRegionSequence[0]
    assert region.CodeMeaning == "Breast"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == "0.1.0"
    assert "cd" * 32 in algorithm.AlgorithmParameters
    assert built.ContributingEquipmentSequence[-1].DeviceUID == making.ALGORITHM.device_uid


@pytest.mark.parametrize("sop_class", [SecondaryCaptureImageStorage, RETIRED_ULTRASOUND])
def test_a_still_of_another_class_is_referred_to_by_that_class(
    tmp_path: Path, dciodvfy: Validate, sop_class: str
) -> None:
    path = making.write_image(tmp_path / "image.dcm", changes={"SOPClassUID": sop_class})
    mask = making.disc((64, 80), 30, 30, 9)
    result = making.study_result(making.image_result(path, [making.lesion(mask)]))
    (written,) = write_all(result, tmp_path)
    dciodvfy(written)
    assert UltrasoundImageStorage.encode() not in written.read_bytes()
    assert sop_class.encode() in written.read_bytes()


def test_loss_in_the_source_is_told(tmp_path: Path) -> None:
    mask = making.disc((64, 80), 30, 30, 9)
    for syntax, loss in ((ExplicitVRLittleEndian, "00"), (JPEGBaseline8Bit, "01")):
        path = making.write_image(tmp_path / "image.dcm", transfer_syntax_uid=syntax)
        image = making.image_result(path, [making.lesion(mask)])
        (built,) = making.build_objects("seg", making.study_result(image))
        assert built.LossyImageCompression == loss
        assert ("LossyImageCompressionRatio" in built) == (loss == "01")


def test_it_has_the_axes_and_spacing_of_its_image_and_no_position(case: making.Case) -> None:
    own = pydicom.dcmread(case.path).get("ImageOrientationPatient")
    for built in making.build_objects("seg", case.result()):
        assert "FrameOfReferenceUID" not in built
        for groups in built.PerFrameFunctionalGroupsSequence:
            assert "PlanePositionSequence" not in groups
        shared = built.SharedFunctionalGroupsSequence[0]
        (plane,) = shared.PlaneOrientationSequence
        assert plane.ImageOrientationPatient == (own or [1, 0, 0, 0, 1, 0])
        (measures,) = shared.PixelMeasuresSequence
        spacing = [case.spacing_mm] * 2 if case.spacing_mm else None
        assert measures.get("PixelSpacing") == spacing
        axes = "patient axes, no position" if own else "image axes, no patient position"
        assert built.ContentDescription == f"Lesions outlined by AI; {axes}"


def test_an_orientation_that_is_none_is_not_copied(tmp_path: Path) -> None:
    changes = {"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}
    path = making.write_image(tmp_path / "image.dcm", changes=changes)
    image = making.image_result(path, [making.lesion(making.disc((64, 80), 30, 30, 9))])
    (built,) = making.build_objects("seg", making.study_result(image))
    (plane,) = built.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    assert plane.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


def test_rows_and_columns_may_differ_in_spacing(tmp_path: Path, dciodvfy: Validate) -> None:
    image = replace(one_lesion(tmp_path), spacing_mm=(0.1, 0.0612345678901234567))
    (written,) = write_all(making.study_result(image), tmp_path)
    dciodvfy(written)
    (measures,) = pydicom.dcmread(written).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.PixelSpacing == pytest.approx([0.1, 0.06123456789012])


def test_the_label_tells_the_class_and_that_no_reader_saw_it(tmp_path: Path) -> None:
    image = one_lesion(tmp_path)
    assert labels(image) == ["Lesion 1, malignant 80 %, AI unverified"]
    undecided = replace(image.lesions[0], undecided=True)
    assert labels(replace(image, lesions=(undecided,))) == ["Lesion 1, undecided, AI unverified"]


def test_the_class_of_a_lesion_on_several_frames_is_that_of_its_largest_outline(
    tmp_path: Path,
) -> None:
    path = making.write_image(tmp_path / "image.dcm", [making.gray(seed=n) for n in range(3)])
    lesions = [
        replace(
            making.lesion(making.disc((64, 80), 30, 30, radius), frame=frame),
            label=label,
            probabilities=probabilities,
        )
        for frame, radius, label, probabilities in (
            (1, 7, "malignant", (0.0, 0.1, 0.9)),
            (2, 9, "benign", (0.3, 0.6, 0.1)),
            (3, 5, "malignant", (0.0, 0.2, 0.8)),
        )
    ]
    assert labels(making.image_result(path, lesions)) == ["Lesion 1, benign 60 %, AI unverified"]


def test_a_signed_label_tells_who_outlined_the_lesion_and_no_class(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm", [making.gray(seed=n) for n in range(2)])
    mask = making.disc((64, 80), 30, 30, 9)
    image = making.image_result(path, [making.lesion(mask)])
    both = making.lesion(mask, number=4), making.lesion(mask, number=4, frame=2)
    reviewed = (
        *image.lesions,
        replace(making.lesion(mask, number=2), origin="corrected"),
        replace(making.lesion(mask, number=3), origin="drawn"),
        *(both[0], replace(both[1], origin="drawn")),
    )
    review = replace(making.REVIEW, outlines={image.sop_instance_uid: reviewed})
    (built,) = making.build_signed_results(["seg", "sr"], making.study_result(image), review)["seg"]
    assert [segment.SegmentLabel for segment in built.SegmentSequence] == [
        "Lesion 1, AI outline kept by reader",
        "Lesion 2, edited by reader",
        "Lesion 3, drawn by reader",
        "Lesion 4, edited by reader",
    ]
    assert built.ContentDescription.startswith("Lesions as the reader left them; image axes")


def labels(image: ImageResult) -> list[str]:
    (built,) = making.build_objects("seg", making.study_result(image))
    assert [segment.TrackingID for segment in built.SegmentSequence] == ["Lesion 1"]
    return [segment.SegmentLabel for segment in built.SegmentSequence]


def test_a_source_without_type_2_attributes_gets_them_empty(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    missing = ("PatientSex", "PatientBirthDate", "StudyID", "AccessionNumber", "StudyDate")
    path = making.write_image(tmp_path / "image.dcm", changes=dict.fromkeys(missing))
    mask = making.disc((64, 80), 30, 30, 9)
    (written,) = write_all(
        making.study_result(making.image_result(path, [making.lesion(mask)])), tmp_path
    )
    dciodvfy(written)
    dataset = pydicom.dcmread(written)
    assert all(keyword in dataset and not dataset[keyword].value for keyword in missing)


@pytest.mark.parametrize(
    ("mask", "frame", "problem"),
    [
        (making.disc((64, 79), 30, 30, 9), 1, "size"),
        (np.zeros((64, 80), bool), 1, "empty"),
        (making.disc((64, 80), 30, 30, 9), 2, "frame"),
    ],
)
def test_a_lesion_that_cannot_be_said_in_dicom_is_refused(
    tmp_path: Path, mask: NDArray[np.bool_], frame: int, problem: str
) -> None:
    image = one_lesion(tmp_path)
    wrong = replace(image.lesions[0], mask=mask, frame_number=frame)
    with pytest.raises(InvalidResult, match=problem):
        making.build_objects("seg", making.study_result(replace(image, lesions=(wrong,))))


def test_a_lesion_outlined_twice_on_a_frame_is_refused(tmp_path: Path) -> None:
    image = one_lesion(tmp_path)
    with pytest.raises(InvalidResult, match="twice"):
        making.build_objects("seg", making.study_result(replace(image, lesions=image.lesions * 2)))


@st.composite
def drawn_lesions(draw: st.DrawFn) -> tuple[int, tuple[int, int], list[tuple[int, int, int]]]:
    """Frame count (1 is a still), size, and (lesion, frame, seed) triples without repetition."""
    frames = draw(st.sampled_from([1, 1, 2, 5]))
    shape = draw(st.tuples(st.integers(16, 900), st.integers(16, 1200)))
    pairs = draw(
        st.lists(
            st.tuples(st.integers(1, 3), st.integers(1, frames)),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    seeds = draw(st.lists(st.integers(0, 999), min_size=len(pairs), max_size=len(pairs)))
    return frames, shape, [(*pair, seed) for pair, seed in zip(pairs, seeds, strict=True)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # files are overwritten
)
@given(
    drawn=drawn_lesions(),
    variant=st.sampled_from(Variant),
    every_frame=st.booleans(),
)
@example(
    drawn=(2, (900, 1200), [(1, 2, 0), (2, 1, 1), (1, 1, 2)]),
    variant=Variant.BINARY,
    every_frame=True,
)
@example(drawn=(1, (16, 16), [(1, 1, 0)]), variant=Variant.BINARY, every_frame=False)
def test_any_masks_on_any_frames_of_any_size_survive_in_any_form(
    tmp_path: Path,
    drawn: tuple[int, tuple[int, int], list[tuple[int, int, int]]],
    variant: Variant,
    *,
    every_frame: bool,
) -> None:
    count, shape, wanted = drawn
    frames = [making.gray(*shape, seed=seed) for seed in range(count)]
    path = making.write_image(tmp_path / "image.dcm", frames if count > 1 else frames[0])
    lesions = [
        making.lesion(random_mask(shape, seed), number=number, frame=frame)
        for number, frame, seed in wanted
    ]
    image = making.image_result(path, lesions)
    spec = f"seg:{variant}" + (":every-frame" if every_frame else "")
    (built,) = making.build_objects(spec, making.study_result(image))
    written = write_dataset(built, tmp_path / "seg.dcm").path
    verify_segmentation(written, making.study_result(image))
    if variant in {Variant.OCCUPANCY, Variant.BINARY}:
        assert_highdicom_agrees(written, image)


def random_mask(shape: tuple[int, int], seed: int) -> NDArray[np.bool_]:
    random = np.random.default_rng(seed)
    mask = random.random(shape) < random.random()
    mask[random.integers(shape[0]), random.integers(shape[1])] = True
    return mask
