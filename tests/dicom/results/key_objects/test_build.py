from dataclasses import replace
from pathlib import Path

import highdicom
import pytest
from pydicom.dataset import Dataset

from dicom.files import encode, write_dataset
from dicom.results.model import ImageResult, RefusalReason
from tests.dicom import making
from tests.dicom.conftest import Validate

SPECS = ("key-objects", "key-objects:for-report-attachment")
MASK = making.disc((64, 80), 30, 30, 9)


def still(folder: Path, number: int = 1, **changes: object) -> ImageResult:
    path = making.write_image(folder / f"{number}.dcm", instance_number=number)
    return replace(making.image_result(path), **changes)  # type: ignore[arg-type]  # any field


def cine(folder: Path, number: int = 9) -> ImageResult:
    """Lesions on frames 2 and 4; frame 3 is the representative frame."""
    frames = [making.gray(seed=seed) for seed in range(5)]
    path = making.write_image(folder / f"{number}.dcm", frames, instance_number=number)
    lesions = [making.lesion(MASK, frame=frame) for frame in (4, 2)]
    return making.image_result(path, lesions, frame_number=3)


def references(document: Dataset) -> dict[str, list[int]]:
    """Frames by SOP Instance UID, none for a whole image."""
    found = {}
    for item in document.ContentSequence:
        for reference in item.get("ReferencedSOPSequence", []):
            frames = reference.get("ReferencedFrameNumber", [])
            each = [int(frames)] if isinstance(frames, (int, str)) else [int(n) for n in frames]
            found[str(reference.ReferencedSOPInstanceUID)] = each
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_of_image_gets_a_valid_selection(
    case: making.Case, spec: str, tmp_path: Path, dciodvfy: Validate
) -> None:
    built = making.build_objects(spec, case.result())
    assert len(built) == (1 if case.lesion_count else 0)
    for one in built:
        path = write_dataset(one, tmp_path / "key.dcm").path
        dciodvfy(path)
        highdicom.ko.KeyObjectSelectionDocument.from_dataset(one)


@pytest.mark.peer
def test_dcmtk_reads_the_selection(tmp_path: Path, dsrdump: Validate) -> None:
    (built,) = making.build_objects("key-objects", making.study_result(cine(tmp_path)))
    dsrdump(write_dataset(built, tmp_path / "key.dcm").path)


def test_it_names_the_frames_with_findings_and_no_others(tmp_path: Path) -> None:
    normal, benign = still(tmp_path, 1), still(tmp_path, 2, label="benign")
    reason = RefusalReason("too-small", "Too small.")
    refused = making.image_refusal(still(tmp_path, 3).source, reason)
    moving = cine(tmp_path)
    (built,) = making.build_objects(
        "key-objects", making.study_result(normal, benign, refused, moving)
    )
    assert references(built) == {benign.sop_instance_uid: [], moving.sop_instance_uid: [2, 3, 4]}


def test_every_referenced_image_is_in_the_evidence_with_its_own_class(tmp_path: Path) -> None:
    moving = cine(tmp_path)
    (built,) = making.build_objects("key-objects", making.study_result(moving))
    (study,) = built.CurrentRequestedProcedureEvidenceSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == moving.sop_instance_uid
    assert item.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.3.1"


def test_its_images_carry_no_purpose_of_reference(tmp_path: Path) -> None:
    """TID 2010 row 8; other readers of the selection still find the image."""
    moving = cine(tmp_path)
    (built,) = making.build_objects("key-objects", making.study_result(moving))
    (image,) = [item for item in built.ContentSequence if item.ValueType == "IMAGE"]
    assert "ConceptNameCodeSequence" not in image
    read = highdicom.ko.KeyObjectSelectionDocument.from_dataset(built)
    (found,) = read.content.get_references()
    assert found.referenced_sop_instance_uid == moving.sop_instance_uid
    assert len(read.content.get_observer_contexts()) == 1


def test_a_study_without_findings_has_no_key_images(tmp_path: Path) -> None:
    assert making.build_objects("key-objects", making.study_result(still(tmp_path))) == []


def test_a_finding_of_a_whole_cine_names_no_frame(tmp_path: Path, dciodvfy: Validate) -> None:
    image = replace(cine(tmp_path), lesions=(), frame_number=None, label="benign")
    (built,) = making.build_objects("key-objects", making.study_result(image))
    dciodvfy(write_dataset(built, tmp_path / "key.dcm").path)
    assert references(built) == {image.sop_instance_uid: []}


def test_titles_are_coded_and_each_has_uids_of_its_own(tmp_path: Path) -> None:
    result = making.study_result(cine(tmp_path))
    built = [making.build_objects(spec, result)[0] for spec in SPECS]
    codes = [one.ConceptNameCodeSequence[0].CodeValue for one in built]
    assert codes == ["113000", "113020"]
    assert len({one.SOPInstanceUID for one in built}) == 2
    assert encode(built[0]) == encode(making.build_objects("key-objects", result)[0])


def test_an_undecided_image_of_any_class_is_a_key_image(tmp_path: Path) -> None:
    normal = making.image_result(making.write_image(tmp_path / "image.dcm"))
    assert making.build_objects("key-objects", making.study_result(normal)) == []
    undecided = replace(normal, undecided=True)
    assert len(making.build_objects("key-objects", making.study_result(undecided))) == 1
