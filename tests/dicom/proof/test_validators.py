"""Validators that Sonogate did not write, over every object of every kind of study."""

import re
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom.files import write_dataset
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.proof.conftest import ASKED, Proof
from tests.dicom.proof.iod_validation import violations
from tests.dicom.proof.pixelmed import PixelMed, running

KINDS = tuple(dict.fromkeys(text.partition(":")[0] for text in ASKED))


def test_dciodvfy_finds_no_error_in_any_object(proof: Proof, dciodvfy: Validate) -> None:
    paths = proof.files(*KINDS)
    assert len(paths) >= 7  # three classes of report unsigned, three signed, one amended
    for path in paths:
        dciodvfy(path)


def test_dicom_validator_finds_nothing_missing_or_out_of_place_in_any_object(proof: Proof) -> None:
    for path in proof.files(*KINDS):
        assert not violations(path)


def test_dicom_validator_sees_what_is_missing_empty_or_out_of_place(tmp_path: Path) -> None:
    result = making.Case(making.write_image(tmp_path / "image.dcm"), 1).result()
    (segmentation,) = making.build_objects("seg", result)
    del segmentation.PatientID
    segmentation.SegmentSequence[0].SegmentLabel = ""
    segmentation.PerFrameFunctionalGroupsSequence[0].EchoTime = 1
    seen = violations(write_dataset(segmentation, tmp_path / "spoiled.dcm").path)
    assert [one.partition(": ")[2] for one in seen] == [
        "PatientID: TagMissing",
        "SegmentSequence > SegmentLabel: TagEmpty",
        "PerFrameFunctionalGroupsSequence > EchoTime: TagUnexpected",
    ]


@pytest.fixture(scope="session")
def pixelmed() -> Iterator[PixelMed]:
    with running() as process:
        yield process


@pytest.mark.peer
def test_pixelmed_finds_no_error_in_any_segmentation(proof: Proof, pixelmed: PixelMed) -> None:
    for path in proof.files("seg", "heatmap-seg"):
        if pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID != SegmentationStorage:
            continue  # it knows no label maps
        assert pixelmed.validate(path) == (["Segmentation IOD"], [])


@pytest.mark.peer
def test_pixelmed_finds_reports_and_selections_true_to_their_templates(
    proof: Proof, pixelmed: PixelMed
) -> None:
    roots = {"sr": "TID_1500 (MeasurementReport)", "key-objects": "TID_2010 (KeyObjectSelection)"}
    for kind, root in roots.items():
        for path in proof.files(kind):
            recognized, complaints = pixelmed.validate(path)
            assert recognized[1:] == [f"Root Template {root}"]
            assert not complaints


@pytest.mark.peer
def test_pixelmed_sees_what_is_taken_away(tmp_path: Path, pixelmed: PixelMed) -> None:
    result = making.Case(making.write_image(tmp_path / "image.dcm"), 1).result()
    (segmentation,) = making.build_objects("seg", result)
    report = making.build_report(result)
    del segmentation.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    (measurements,) = children(report, "Imaging Measurements")
    mask = children(measurements, "Measurement Group")[-1]
    assert mask.ContentSequence.pop().ValueType == "IMAGE"
    for spoiled, missing in (
        (segmentation, "SegmentedPropertyTypeCodeSequence/: .*Missing required"),
        (report, r"Template 1410 .*\[Row 8\] .*: Missing conditional content item"),
    ):
        complaints = pixelmed.validate(write_dataset(spoiled, tmp_path / "spoiled.dcm").path)[1]
        assert any(re.search(missing, complaint) for complaint in complaints), complaints


def children(item: Dataset, name: str) -> list[Dataset]:
    return [
        one for one in item.ContentSequence if one.ConceptNameCodeSequence[0].CodeMeaning == name
    ]


@pytest.mark.peer
def test_dsrdump_renders_every_report_and_selection(proof: Proof, dsrdump: Validate) -> None:
    for path in proof.files("sr", "key-objects"):
        dsrdump(path)


def test_every_object_has_its_study_and_not_one_is_without_patient(proof: Proof) -> None:
    source = pydicom.dcmread(proof.source, stop_before_pixels=True)
    for path in proof.files(*KINDS):
        made = pydicom.dcmread(path, stop_before_pixels=True)
        assert made.StudyInstanceUID == source.StudyInstanceUID
        assert made.PatientID == source.get("PatientID")
        assert str(made.PatientName) == str(source.get("PatientName", ""))


def test_no_two_objects_share_a_uid(proof: Proof) -> None:
    uids = [
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        for path in proof.files(*KINDS)
    ]
    assert len(set(uids)) == len(uids)
