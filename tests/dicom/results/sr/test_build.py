from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import highdicom
import pytest
from pydicom.dataset import Dataset

from dicom.codes import BIRADS
from dicom.errors import DicomError, InvalidResult, ReadBackMismatch
from dicom.files import encode, write_dataset
from dicom.results.model import (
    ImageRefusal,
    ImageResult,
    RefusalReason,
    SignedReview,
    StudyResult,
)
from dicom.results.seg.verify import verify_edited_segmentation
from dicom.results.sr.verify import ReadReport, read_back_report, verify_report
from tests.dicom import making
from tests.dicom.conftest import Validate

REFUSAL = RefusalReason("color-doppler", "The image shows color Doppler.")


def report_of(result: StudyResult) -> Dataset:
    return making.build_report(result)


def signed(result: StudyResult, review: SignedReview = making.REVIEW) -> Dataset:
    return making.build_signed_report(result, review)


def write(report: Dataset, folder: Path) -> Path:
    return write_dataset(report, folder / "report.dcm").path


def refused(path: Path, reason: RefusalReason = REFUSAL) -> ImageRefusal:
    return making.image_refusal(path, reason)


def one_lesion(folder: Path) -> ImageResult:
    path = making.write_image(folder / "image.dcm")
    return making.image_result(path, [making.lesion(making.disc((64, 80), 30, 30, 9))])


@dataclass(frozen=True)
class Reported:
    """A case's result, and its report unsigned and signed, on disk."""

    result: StudyResult
    report: Path
    signed: Path


@pytest.fixture(scope="module")
def reported(case: making.Case, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    result = case.result()
    report, verified = report_of(result), signed(result)
    folder = tmp_path_factory.mktemp("reported")
    return Reported(
        result,
        write_dataset(report, folder / "report.dcm").path,
        write_dataset(verified, folder / "signed.dcm").path,
    )


def test_every_kind_of_image_gets_a_valid_report(reported: Reported, dciodvfy: Validate) -> None:
    dciodvfy(reported.report)
    found = verify_report(reported.report, reported.result)
    assert not found.verified
    assert not found.final
    assert found.birads is None


def test_every_kind_of_image_gets_a_valid_signed_report(
    reported: Reported, dciodvfy: Validate
) -> None:
    dciodvfy(reported.signed)
    found = verify_report(reported.signed, reported.result, making.REVIEW)
    assert found.predecessor_uid == read_back_report(reported.report).sop_instance_uid
    assert found.reader_name == "Röntgen^Wilhelm"


@pytest.mark.peer
def test_dcmtk_reads_every_report(reported: Reported, dsrdump: Validate) -> None:
    dsrdump(reported.report)
    dsrdump(reported.signed)


def test_highdicom_reads_the_measurements(reported: Reported) -> None:
    content = highdicom.sr.srread(reported.report).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    (image,) = reported.result.images
    (image_group,) = content.get_image_measurement_groups(tracking_uid=image.tracking_uid)
    (probability,) = image_group.get_measurements()
    (border,) = probability.referenced_coordinates
    assert border.graphic_type.value == "POLYLINE"
    assert len(content.get_image_measurement_groups()) == 1 + len(image.lesions)
    for lesion in image.lesions:
        groups = content.get_planar_roi_measurement_groups(tracking_uid=lesion.tracking_uid)
        shown = [one for one in image.lesions if one.tracking_uid == lesion.tracking_uid]
        assert len(groups) == len(shown)  # segmentation frames


def test_networks_never_give_a_bi_rads_category(reported: Reported) -> None:
    written = reported.report.read_bytes()
    assert not [code for code in BIRADS.values() if code.value.encode() in written]


def test_building_again_makes_the_same_bytes(tmp_path: Path) -> None:
    result = making.study_result(one_lesion(tmp_path))
    assert encode(report_of(result)) == encode(report_of(result))
    assert encode(signed(result)) == encode(signed(result))


def test_calibrated_lesions_are_in_millimetres_and_others_in_pixels(tmp_path: Path) -> None:
    mask = making.disc((64, 80), 30, 30, 9)
    for spacing_mm, units in ((0.1, {"mm2", "mm"}), (None, {"{pixels}"})):
        path = making.write_image(tmp_path / "image.dcm", spacing_mm=spacing_mm)
        lesion = making.lesion(mask, spacing_mm=spacing_mm)
        result = making.study_result(making.image_result(path, [lesion]))
        found = read_back_report(write(report_of(result), tmp_path))
        numbers = found.lesions[0].measurements
        assert {unit for _, unit in numbers.values()} == units | {"%"}
        size = lesion.measurements
        area = size.size_mm.area_mm2 if size.size_mm else size.area_px
        assert numbers["42798000"][0] == pytest.approx(area, abs=0.01)


def test_a_cine_report_names_the_segmentations_frame_for_each_lesion(tmp_path: Path) -> None:
    frames = [making.gray(seed=seed) for seed in range(4)]
    path = making.write_image(tmp_path / "image.dcm", frames)
    mask = making.disc((64, 80), 30, 30, 9)
    lesions = [making.lesion(mask, frame=frame) for frame in (4, 2)]
    result = making.study_result(making.image_result(path, lesions))
    content = highdicom.sr.srread(write(report_of(result), tmp_path)).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    groups = content.get_planar_roi_measurement_groups(
        reference_type=highdicom.sr.CodedConcept("121214", "DCM", "Referenced Segmentation Frame")
    )
    references = [group[0].ContentSequence for group in groups]
    pairs = []
    for items in references:
        frame, source = (
            int(item.ReferencedSOPSequence[0].ReferencedFrameNumber)
            for item in items
            if item.ValueType == "IMAGE"
        )
        pairs.append((frame, source))
    assert sorted(pairs) == [(1, 2), (2, 4)]


def test_the_class_of_a_cine_names_every_frame_that_was_averaged_for_it(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate
) -> None:
    frames = [making.gray(seed=seed) for seed in range(6)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    image = making.image_result(path, frame_number=4, averaged_frames=(2, 4, 5))
    report = write(report_of(making.study_result(image)), tmp_path)
    dciodvfy(report)
    dsrdump(report)
    (found,) = verify_report(report, making.study_result(image)).images
    assert found.frames == (2, 4, 5)
    for other in ((4,), (2, 4), ()):
        said = making.study_result(replace(image, averaged_frames=other))
        with pytest.raises(ReadBackMismatch, match="frames"):
            verify_report(report, said)


def test_a_class_averaged_over_every_frame_is_the_whole_cines(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "cine.dcm", [making.gray(seed=seed) for seed in (1, 2, 3)])
    image = making.image_result(path, frame_number=2, averaged_frames=(1, 2, 3))
    report = write(report_of(making.study_result(image)), tmp_path)
    (found,) = verify_report(report, making.study_result(image)).images
    assert found.frames == ()


def test_no_frame_is_named_of_a_class_that_has_none_though_its_file_has(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm", changes={"NumberOfFrames": 9})
    image = making.image_result(path, averaged_frames=(2, 4, 5))
    report = write(report_of(making.study_result(image)), tmp_path)
    (found,) = verify_report(report, making.study_result(image)).images
    assert found.frames == ()


def test_a_class_of_a_whole_cine_names_no_frame(tmp_path: Path, dciodvfy: Validate) -> None:
    frames = [making.gray(seed=seed) for seed in range(2)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    result = making.study_result(making.image_result(path, frame_number=None))
    report = write(report_of(result), tmp_path)
    dciodvfy(report)
    (found,) = verify_report(report, result).images
    assert found.frames == ()


def test_refused_images_are_listed_with_their_reason(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate
) -> None:
    other = making.write_image(tmp_path / "other.dcm", instance_number=2)
    result = making.study_result(one_lesion(tmp_path), refused(other))
    path = write(report_of(result), tmp_path)
    dciodvfy(path)
    dsrdump(path)
    found = verify_report(path, result)
    assert found.refusals == ("color-doppler",)
    assert "Analyzed 1 of 2 images." in found.comments


@pytest.mark.parametrize("retired", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"])
def test_a_refused_image_of_a_retired_class_is_named_with_it(tmp_path: Path, retired: str) -> None:
    image = making.write_image(tmp_path / "image.dcm", changes={"SOPClassUID": retired})
    result = making.study_result(refused(image))
    report = report_of(result)
    verify_report(write(report, tmp_path), result)
    assert referenced_classes(report) == {retired}


def test_a_study_of_refused_images_gets_a_report_that_lists_them(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate
) -> None:
    result = making.study_result(refused(making.write_image(tmp_path / "image.dcm")))
    path = write(report_of(result), tmp_path)
    dciodvfy(path)
    dsrdump(path)
    found = verify_report(path, result)
    assert found.label is None
    assert found.images == ()
    assert "No image of this study could be analyzed." in found.comments
    assert [one.label for one in found.statements] == [
        "Not analyzed: The image shows color Doppler."
    ]


def test_an_unreadable_image_is_mentioned_beside_those_that_can_be_read(tmp_path: Path) -> None:
    broken = making.write_image(tmp_path / "broken.dcm", instance_number=2)
    image = refused(broken, RefusalReason("not-dicom", "The file is not DICOM."))
    broken.write_bytes(b"nothing of the kind")
    result = making.study_result(one_lesion(tmp_path), image)
    verify_report(write(report_of(result), tmp_path), result)


def test_an_analyzed_image_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    image = one_lesion(tmp_path)
    image.source.write_bytes(b"nothing of the kind")
    with pytest.raises(DicomError):
        making.build_objects("sr", making.study_result(image))


def test_a_file_that_is_not_the_image_it_is_said_to_be_is_an_error(tmp_path: Path) -> None:
    image = replace(one_lesion(tmp_path), sop_instance_uid="1.2.3")
    with pytest.raises(InvalidResult, match="does not hold"):
        making.build_objects("sr", making.study_result(image))


def test_a_report_without_any_readable_image_is_an_error(tmp_path: Path) -> None:
    image = refused(making.write_image(tmp_path / "image.dcm"))
    image.source.write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidResult, match="patient"):
        making.build_objects("sr", making.study_result(image))


def test_without_a_segmentation_the_outlines_remain(tmp_path: Path, dciodvfy: Validate) -> None:
    result = making.study_result(one_lesion(tmp_path))
    path = write(making.build_objects("sr", result)[0], tmp_path)
    dciodvfy(path)
    (lesion,) = verify_report(path, result).lesions
    assert lesion.segmentation_uid == ""
    assert len(lesion.outline) == len(result.images[0].lesions[0].contour) + 1


def test_an_outline_of_very_many_points_still_fits(tmp_path: Path, dciodvfy: Validate) -> None:
    image = one_lesion(tmp_path)
    contour = tuple((20 + i / 1000, 20.0 + i % 2) for i in range(20_000))
    result = making.study_result(
        replace(image, lesions=(replace(image.lesions[0], contour=contour),))
    )
    path = write(report_of(result), tmp_path)
    dciodvfy(path)
    assert max(len(lesion.outline) for lesion in read_back_report(path).lesions) > 5000


def test_every_referenced_object_is_in_the_evidence_with_its_own_class(tmp_path: Path) -> None:
    frames = [making.gray(seed=seed) for seed in range(3)]
    cine = making.write_image(tmp_path / "cine.dcm", frames, instance_number=2)
    mask = making.disc((64, 80), 30, 30, 9)
    images = one_lesion(tmp_path), making.image_result(cine, [making.lesion(mask, number=2)])
    report = report_of(making.study_result(*images))
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    found = {
        (item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    expected = {
        (images[0].sop_instance_uid, "1.2.840.10008.5.1.4.1.1.6.1"),
        (images[1].sop_instance_uid, "1.2.840.10008.5.1.4.1.1.3.1"),
        *(
            (one.SOPInstanceUID, one.SOPClassUID)
            for one in making.build_objects("seg", making.study_result(*images))
        ),
    }
    assert found == expected


def test_a_revision_names_the_report_that_it_replaces(tmp_path: Path) -> None:
    first = making.study_result(one_lesion(tmp_path))
    earlier = report_of(first)
    later = replace(first, analysis_id="analysis-2")
    (report,) = making.build_results(["sr"], later, {"sr": earlier})["sr"]
    found = read_back_report(write(report, tmp_path))
    assert found.predecessor_uid == earlier.SOPInstanceUID
    assert found.sop_instance_uid != earlier.SOPInstanceUID


def test_the_report_names_algorithm_weights_and_research_use(tmp_path: Path) -> None:
    result = making.study_result(one_lesion(tmp_path), note="The images are phantoms.")
    found = read_back_report(write(report_of(result), tmp_path))
    assert "Research use only. Not for diagnosis." in found.comments
    assert "The images are phantoms." in found.comments
    (software,) = (comment for comment in found.comments if comment.startswith("Sonogate:"))
    assert "sonogate-busi 0.1.0" in software
    assert making.ALGORITHM.classifier_digest in software
    assert making.ALGORITHM.segmenter_digest in software


CLASS_UIDS = {
    "sr": "1.2.840.10008.5.1.4.1.1.88.33",
    "sr:comprehensive-3d": "1.2.840.10008.5.1.4.1.1.88.34",
    "sr:enhanced": "1.2.840.10008.5.1.4.1.1.88.22",
}


@pytest.mark.parametrize("spec", CLASS_UIDS)
def test_the_content_is_the_same_in_every_class(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate, spec: str
) -> None:
    result = making.study_result(one_lesion(tmp_path))
    report = making.build_report(result, spec)
    assert report.SOPClassUID == CLASS_UIDS[spec]
    assert report.ContentSequence == report_of(result).ContentSequence
    path = write(report, tmp_path)
    dciodvfy(path)
    dsrdump(path)
    verify_report(path, result)


def test_no_region_needs_a_frame_of_reference(tmp_path: Path) -> None:
    result = making.study_result(one_lesion(tmp_path))
    (report,) = making.build_objects("sr:comprehensive-3d", result)
    assert "SCOORD3D" not in str(report)
    assert "SCOORD" in str(report)


# --------------------------------------------------------------------------- what viewers show


def test_the_area_comes_first_and_with_its_outline(tmp_path: Path) -> None:
    """OHIF takes the first number of a group, and the coordinates below it."""
    report = report_of(making.study_result(one_lesion(tmp_path)))
    group = measurement_groups(report)[0]
    (first, *_) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
    assert first.ConceptNameCodeSequence[0].CodeMeaning == "Area"
    (outline,) = first.ContentSequence
    assert (outline.ValueType, outline.RelationshipType) == ("SCOORD", "INFERRED FROM")
    assert outline.GraphicData[:2] == outline.GraphicData[-2:]


def test_a_report_opens_at_the_most_suspicious_image_and_its_representative_frame(
    tmp_path: Path,
) -> None:
    normal = making.image_result(making.write_image(tmp_path / "normal.dcm", instance_number=2))
    frames = [making.gray(seed=seed) for seed in range(3)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    lesions = [making.lesion(making.disc((64, 80), 30, 30, 9), frame=frame) for frame in (1, 2, 3)]
    cine = making.image_result(path, lesions, frame_number=2)
    result = making.study_result(normal, cine, label="malignant", probabilities=(0.1, 0.2, 0.7))
    report = report_of(result)
    found = verify_report(write(report, tmp_path), result)
    outlines = [lesion for lesion in found.lesions if lesion.outline]
    assert [lesion.frame for lesion in outlines] == [2, 1, 3]
    assert [lesion.tracking_uid for lesion in outlines] == [lesions[0].tracking_uid] * 3
    assert outlines[0].group_uid == lesions[0].tracking_uid
    assert len({lesion.group_uid for lesion in outlines}) == 3
    identifiers = [
        next(item.TextValue for item in group.ContentSequence if item.ValueType == "TEXT")
        for group in measurement_groups(report)
    ]
    assert identifiers == [
        *["Cornerstone3DTools@^0.1.0:PlanarFreehandROI:Lesion 1"] * 3,
        "Cornerstone3DTools@^0.1.0:ArrowAnnotate:Image classification",
        *["Lesion 1"] * 3,
        "Cornerstone3DTools@^0.1.0:ArrowAnnotate:Image classification",
    ]
    assert found.images[1].text == "Image: normal 90 %; study: malignant 70 % (AI, unverified)"


def referenced_classes(dataset: Dataset) -> set[str]:
    return {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "ReferencedSOPClassUID"
    }


def measurement_groups(report: Dataset) -> list[Dataset]:
    (measurements,) = [
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(measurements.ContentSequence)


# --------------------------------------------------------------------------- the reader's report


def review_report(folder: Path, **changes: object) -> tuple[ReadReport, StudyResult, SignedReview]:
    result = making.study_result(one_lesion(folder))
    review = replace(making.REVIEW, **changes)  # type: ignore[arg-type]  # any field
    path = write(signed(result, review), folder)
    return verify_report(path, result, review), result, review


def test_an_accepted_analysis_restates_its_findings(tmp_path: Path) -> None:
    found, result, _ = review_report(tmp_path)
    assert found.verified
    assert found.final
    assert [image.label for image in found.images] == [result.images[0].label]
    assert found.birads == "4C"
    assert making.REVIEW.comment in found.comments


def test_a_modified_class_is_the_readers_alone(tmp_path: Path) -> None:
    found, _, _ = review_report(
        tmp_path, decision="modify", final_label="benign", birads="2", reason="Cyst."
    )
    assert found.label == "benign"
    assert [image.label for image in found.images] == [None]
    assert found.images[0].probabilities == pytest.approx((0.1, 0.2, 0.7))
    assert found.lesions
    assert "Reason: Cyst." in found.comments


def test_a_rejected_analysis_states_none_of_its_findings(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    found, _, _ = review_report(tmp_path, decision="reject", final_label="normal", birads=None)
    dciodvfy(tmp_path / "report.dcm")
    assert found.label == "normal"
    assert found.images == ()
    assert found.lesions == ()
    assert found.birads is None
    (statement,) = found.statements
    assert statement.label == "Study: normal, AI result rejected, signed by Wilhelm Röntgen"


def test_an_amended_review_succeeds_the_signed_one(tmp_path: Path) -> None:
    result = making.study_result(one_lesion(tmp_path))
    first = signed(result)
    amended = replace(
        making.REVIEW, review_id="review-2", signed_at=making.MOMENT + timedelta(days=1)
    )
    second = making.build_signed_report(result, amended, predecessor=first)
    found = read_back_report(write(second, tmp_path))
    assert found.predecessor_uid == first.SOPInstanceUID
    assert found.sop_instance_uid != first.SOPInstanceUID


def test_the_verifying_observer_is_who_signed_and_when(tmp_path: Path) -> None:
    report = signed(making.study_result(one_lesion(tmp_path)))
    (observer,) = report.VerifyingObserverSequence
    (who,) = observer.VerifyingObserverIdentificationCodeSequence
    assert observer.VerifyingOrganization == "Klinik"
    assert observer.VerificationDateTime == "20260506080809+0200"
    assert (who.CodeValue, who.CodingSchemeDesignator, who.CodeMeaning) == (
        "roentgen",
        "99SONOGATE",
        "Röntgen^Wilhelm",
    )


def test_a_username_that_is_too_long_for_a_short_code_is_a_long_one(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    review = replace(making.REVIEW, reader_id="wilhelm.conrad.roentgen")
    report = signed(making.study_result(one_lesion(tmp_path)), review)
    dciodvfy(write(report, tmp_path))
    (observer,) = report.VerifyingObserverSequence
    (who,) = observer.VerifyingObserverIdentificationCodeSequence
    assert (who.LongCodeValue, "CodeValue" in who) == (review.reader_id, False)


def test_no_report_is_verified_for_no_organization(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match="An administrator must enter one"):
        review_report(tmp_path, reader_organization=" ")


def test_a_review_of_a_revision_succeeds_what_was_signed_before_it_too(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    first = making.study_result(one_lesion(tmp_path))
    second = replace(first, analysis_id="analysis-2")
    before = signed(first)
    later, plain = (
        making.build_signed_report(second, replace(making.REVIEW, review_id="2"), earlier=earlier)
        for earlier in ([before], [])
    )
    dciodvfy(write(later, tmp_path))
    (study,) = later.PredecessorDocumentsSequence
    named = [
        reference.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]
    assert named == [report_of(second).SOPInstanceUID, before.SOPInstanceUID]
    assert later.SOPInstanceUID != plain.SOPInstanceUID


def test_a_category_that_bi_rads_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match="BI-RADS"):
        review_report(tmp_path, birads="7")


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match="label"):
        review_report(tmp_path, final_label="cyst")


# --------------------------------------------------------------------------- edited outlines


@dataclass(frozen=True, eq=False)
class Edited:
    """A still with three lesions: the reader left one, corrected one, removed one, drew one."""

    result: StudyResult
    review: SignedReview
    segmentations: list[Dataset]

    def report(self, folder: Path) -> ReadReport:
        found = making.build_signed_report(self.result, self.review)
        return verify_report(write(found, folder), self.result, self.review)


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    path = making.write_image(tmp_path / "image.dcm")
    first, second, third = (
        making.lesion(making.disc((64, 80), 20 * number, 30, 8), number=number)
        for number in (1, 2, 3)
    )
    image = making.image_result(path, [first, second, third])
    corrected = replace(
        making.lesion(making.disc((64, 80), 42, 32, 6), number=2), origin="corrected"
    )
    drawn = replace(
        making.lesion(making.disc((64, 80), 10, 10, 4), number=4), origin="drawn", label=""
    )
    result = making.study_result(image)
    outlines = {image.sop_instance_uid: (first, corrected, drawn)}
    review = replace(making.REVIEW, decision="modify", outlines=outlines)
    return Edited(result, review, edited_segmentations(result, review))


def edited_segmentations(result: StudyResult, review: SignedReview) -> list[Dataset]:
    return making.build_signed_results(["seg"], result, review)["seg"]


def test_what_the_reader_outlined_becomes_a_segmentation_under_the_same_tracking_uids(
    edited: Edited, tmp_path: Path, dciodvfy: Validate
) -> None:
    (built,) = edited.segmentations
    path = write_dataset(built, tmp_path / "seg.dcm").path
    dciodvfy(path)
    found = verify_edited_segmentation(path, edited.result, edited.review)
    assert [segment.algorithm_type for segment in found.segments] == [
        "AUTOMATIC",
        "SEMIAUTOMATIC",
        "MANUAL",
    ]
    before = [lesion.tracking_uid for lesion in edited.result.images[0].lesions]
    after = [segment.tracking_uid for segment in found.segments]
    assert after[:2] == before[:2]
    assert after[2] not in before
    manual = built.SegmentSequence[2]
    assert "SegmentationAlgorithmIdentificationSequence" not in manual
    assert "SegmentAlgorithmName" not in manual
    assert "UNVERIFIED" not in built.SeriesDescription
    assert built.ContentCreatorName == edited.review.reader_name
    assert built.ContentTime == f"{edited.review.signed_at:%H%M%S}"


def test_the_signed_report_measures_the_readers_outlines(edited: Edited, tmp_path: Path) -> None:
    found = edited.report(tmp_path)
    (segmentation,) = edited.segmentations
    assert {lesion.segmentation_uid for lesion in found.lesions} == {
        "",
        str(segmentation.SOPInstanceUID),
    }
    areas = {lesion.tracking_uid: lesion.measurements["42798000"][0] for lesion in found.lesions}
    (outlines,) = edited.review.outlines.values()
    assert areas == {lesion.tracking_uid: lesion.measurements.area_px for lesion in outlines}


def test_the_network_answers_for_its_own_outlines_only(edited: Edited, tmp_path: Path) -> None:
    found = edited.report(tmp_path)
    cancer = "111047"
    by_network = {one.tracking_uid for one in found.lesions if cancer in one.measurements}
    assert by_network == {edited.result.images[0].lesions[0].tracking_uid}
    content = highdicom.sr.srread(tmp_path / "report.dcm").content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    for group in content.get_planar_roi_measurement_groups():
        named = "Algorithm Name" in str(group[0])
        assert named == (group.tracking_uid in by_network)


def test_an_outline_that_was_removed_is_in_neither_object(edited: Edited, tmp_path: Path) -> None:
    removed = edited.result.images[0].lesions[2].tracking_uid
    found = edited.report(tmp_path)
    assert removed not in {lesion.tracking_uid for lesion in found.lesions}
    assert removed not in str(edited.segmentations[0])


def test_when_all_outlines_were_removed_no_segmentation_holds(
    edited: Edited, tmp_path: Path
) -> None:
    (uid,) = edited.review.outlines
    review = replace(edited.review, outlines={uid: ()})
    assert edited_segmentations(edited.result, review) == []
    report = making.build_signed_report(edited.result, review)
    assert verify_report(write(report, tmp_path), edited.result, review).lesions == ()


def test_a_rejected_analysis_leaves_no_outlines(edited: Edited) -> None:
    rejected = replace(edited.review, decision="reject")
    assert edited_segmentations(edited.result, rejected) == []


def test_another_review_of_the_same_outlines_makes_other_objects(edited: Edited) -> None:
    amended = replace(edited.review, review_id="review-2")
    (again,) = edited_segmentations(edited.result, edited.review)
    (other,) = edited_segmentations(edited.result, amended)
    assert encode(again) == encode(edited.segmentations[0])
    assert other.SOPInstanceUID != again.SOPInstanceUID
    assert other.SeriesInstanceUID != again.SeriesInstanceUID


# --------------------------------------------------------------------------- undecided


UNSURE = (0.25, 0.35, 0.4)


def undecided(folder: Path) -> StudyResult:
    """An undecided image with a lesion, beside a normal one, with a confidence threshold."""
    shown = making.write_image(folder / "image.dcm")
    lesion = making.lesion(making.disc((64, 80), 30, 30, 9))
    lesion = replace(lesion, probabilities=UNSURE, undecided=True)
    unsure = making.image_result(shown, [lesion], probabilities=UNSURE, undecided=True)
    normal = making.image_result(making.write_image(folder / "normal.dcm", instance_number=2))
    result = making.study_result(unsure, normal, label="malignant", probabilities=UNSURE)
    algorithm = replace(result.algorithm, confidence_threshold=0.6)
    return replace(result, undecided=True, algorithm=algorithm)


def test_an_undecided_class_is_indeterminate_and_keeps_its_probabilities(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate
) -> None:
    result = undecided(tmp_path)
    path = write(report_of(result), tmp_path)
    dciodvfy(path)
    dsrdump(path)
    found = verify_report(path, result)
    assert (found.label, found.undecided, found.probabilities) == (None, True, UNSURE)
    assert [(image.label, image.undecided) for image in found.images] == [
        (None, True),
        ("normal", False),
    ]
    assert found.images[0].probabilities == UNSURE
    assert "Undecided: no class reaches a probability of 60.0%." in found.comments
    assert any("no class below probability 0.6" in comment for comment in found.comments)


def test_no_group_of_an_undecided_image_states_a_finding_for_it(tmp_path: Path) -> None:
    path = write(report_of(undecided(tmp_path)), tmp_path)
    content = highdicom.sr.srread(path).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    unsure, normal = (
        content.get_image_measurement_groups(tracking_uid=image.tracking_uid)[0]
        for image in undecided(tmp_path).images
    )
    assert (unsure.finding_type, unsure.finding_category) == (None, None)
    assert normal.finding_type is not None


def test_reading_back_finds_a_class_that_should_have_been_undecided(tmp_path: Path) -> None:
    result = undecided(tmp_path)
    path = write(report_of(replace(result, undecided=False)), tmp_path)
    with pytest.raises(DicomError, match="the class differs"):
        verify_report(path, result)


def test_the_reader_of_an_undecided_analysis_gives_the_class(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    result = undecided(tmp_path)
    review = replace(making.REVIEW, decision="modify", final_label="malignant")
    path = write(signed(result, review), tmp_path)
    dciodvfy(path)
    found = verify_report(path, result, review)
    assert (found.label, found.undecided) == ("malignant", False)
