from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.errors import NotDicom, ReadBackMismatch, TruncatedFile
from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.sr.verify import read_back_report, verify_report
from tests.dicom import making


@pytest.fixture
def result(tmp_path: Path) -> StudyResult:
    frames = [making.gray(seed=seed) for seed in range(3)]
    path = making.write_image(tmp_path / "image.dcm", frames)
    masks = [making.disc((64, 80), 20 * number, 30, 9) for number in (1, 2)]
    lesions = [making.lesion(m, number=n, frame=n + 1) for n, m in enumerate(masks, start=1)]
    return making.study_result(making.image_result(path, lesions))


@pytest.fixture
def report(result: StudyResult) -> Dataset:
    return making.build_report(result)


def test_a_report_is_read_back(result: StudyResult, report: Dataset, tmp_path: Path) -> None:
    path = write_dataset(report, tmp_path / "sr.dcm").path
    found = verify_report(path, result)
    assert found.label == "malignant"
    assert found.probabilities == pytest.approx((0.1, 0.2, 0.7))
    assert {lesion.tracking_id for lesion in found.lesions} == {"Lesion 1", "Lesion 2"}
    assert [bool(lesion.outline) for lesion in found.lesions] == [True, True, False, False]
    assert found.predecessor_uid is None


def shift_an_outline(report: Dataset) -> None:
    item = outlines_of(report)[0]
    item.GraphicData = [value + 0.6 for value in item.GraphicData]


def leave_points_out(report: Dataset) -> None:
    item = outlines_of(report)[0]
    points = list(item.GraphicData)
    item.GraphicData = [*points[:2], *points[4:]]


def lose_all_points(report: Dataset) -> None:
    outlines_of(report)[0].GraphicData = []


def outline_on_another_frame(report: Dataset) -> None:
    (source,) = outlines_of(report)[1].ContentSequence
    source.ReferencedSOPSequence[0].ReferencedFrameNumber = 1


def draw_two_under_one_tracking_uid(report: Dataset) -> None:
    first, second = groups_of(report)[:2]
    second.ContentSequence[1].UID = first.ContentSequence[1].UID


def put_a_segmentation_frame_before_its_outline(report: Dataset) -> None:
    groups = groups_of(report)
    groups[0].ContentSequence, groups[-1].ContentSequence = (
        groups[-1].ContentSequence,
        groups[0].ContentSequence,
    )


def give_a_lesion_another_class(report: Dataset) -> None:
    comment_of(groups_of(report)[0]).TextValue = "Lesion 1: benign 80 % (AI, unverified)"


def give_the_study_another_class(report: Dataset) -> None:
    comment_of(groups_of(report)[2]).TextValue = "Cine: malignant 70 %; study: benign 70 % (AI)"


def comment_of(group: Dataset) -> Dataset:
    comment: Dataset
    (comment,) = [
        item
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]
    return comment


def groups_of(report: Dataset) -> list[Dataset]:
    (measurements,) = [
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(measurements.ContentSequence)


def outlines_of(item: Dataset) -> list[Dataset]:
    found = [item] if "GraphicData" in item else []
    below = [outlines_of(child) for child in item.get("ContentSequence", [])]
    return found + [one for outlines in below for one in outlines]


@pytest.mark.parametrize(
    "damage",
    [
        shift_an_outline,
        leave_points_out,
        lose_all_points,
        outline_on_another_frame,
        draw_two_under_one_tracking_uid,
        put_a_segmentation_frame_before_its_outline,
        give_a_lesion_another_class,
        give_the_study_another_class,
    ],
)
def test_a_report_that_shows_something_else_is_noticed(
    result: StudyResult, report: Dataset, tmp_path: Path, damage: Callable[[Dataset], None]
) -> None:
    damage(report)
    path = write_dataset(report, tmp_path / "sr.dcm").path
    with pytest.raises(ReadBackMismatch):
        verify_report(path, result)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"label": "benign"}, "class"),
        ({"probabilities": (0.3, 0.0, 0.7)}, "probabilities"),
        ({"probabilities": None}, "probabilities"),
        ({"images": ()}, "tracking"),
    ],
)
def test_a_report_that_differs_from_the_result_is_rejected(
    result: StudyResult,
    report: Dataset,
    tmp_path: Path,
    changes: dict[str, object],
    what: str,
) -> None:
    path = write_dataset(report, tmp_path / "sr.dcm").path
    with pytest.raises(ReadBackMismatch, match=what):
        verify_report(path, replace(result, **changes))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"final_label": "benign"}, "class"),
        ({"decision": "modify"}, "decision"),
        ({"birads": "5"}, "BI-RADS"),
        ({"decision": "reject"}, "tracking"),
    ],
)
def test_a_signed_report_that_differs_from_the_result_is_rejected(
    result: StudyResult,
    tmp_path: Path,
    changes: dict[str, object],
    what: str,
) -> None:
    signed = making.build_signed_report(result)
    path = write_dataset(signed, tmp_path / "sr.dcm").path
    verify_report(path, result, making.REVIEW)
    other = replace(making.REVIEW, **changes)  # type: ignore[arg-type]  # any field
    with pytest.raises(ReadBackMismatch, match=what):
        verify_report(path, result, other)


def test_an_unsigned_report_is_not_taken_for_a_signed_one(
    result: StudyResult, report: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(report, tmp_path / "sr.dcm").path
    with pytest.raises(ReadBackMismatch):
        verify_report(path, result, making.REVIEW)


def test_an_image_is_no_report(result: StudyResult) -> None:
    with pytest.raises(ReadBackMismatch, match="cannot be parsed"):
        read_back_report(result.images[0].source)


def test_a_file_that_is_damaged_or_not_dicom_is_said_to_be_so(
    report: Dataset, tmp_path: Path
) -> None:
    path = write_dataset(report, tmp_path / "sr.dcm").path
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises((TruncatedFile, ReadBackMismatch)):
        read_back_report(path)
    path.write_bytes(b"%PDF")
    with pytest.raises(NotDicom):
        read_back_report(path)
