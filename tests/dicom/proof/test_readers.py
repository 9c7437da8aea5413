"""Independent readers get back the masks and the measurements that were meant."""

import importlib.util
import json
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom.sr.codedict import codes

from dicom.results.model import apply_review
from dicom.results.sr.verify import read_back_report
from tests.dicom.proof.conftest import Files, Proof
from tests.dicom.results.seg.test_build import assert_highdicom_agrees
from tests.peers import find_program

AREA = "42798000"
FRAME = codes.DCM.ReferencedSegmentationFrame


@pytest.fixture(scope="module")
def tid1500reader() -> str:
    """dcmqi's reader of measurement reports."""
    wheel = importlib.util.find_spec("dcmqi")
    places = wheel.submodule_search_locations if wheel else None
    return find_program("tid1500reader", *(f"{place}/bin/tid1500reader" for place in places or ()))


@pytest.mark.peer
def test_dcmqi_reads_back_the_measurements(
    proof: Proof, tid1500reader: str, tmp_path: Path
) -> None:
    for path in proof.files("sr"):
        found = read_with_dcmqi(tid1500reader, path, tmp_path / "out.json")
        ours = read_back_report(path)
        meant = [(one.group_uid, one.measurements) for one in ours.lesions]
        assert [(uid, numbers) for uid, numbers in found if AREA in numbers] == meant


def read_with_dcmqi(
    reader: str, path: Path, out: Path
) -> list[tuple[str, dict[str, tuple[float, str]]]]:
    command = [reader, "--inputDICOM", str(path), "--outputMetadata", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    return [
        (
            group["TrackingUniqueIdentifier"],
            {
                item["quantity"]["CodeValue"]: (float(item["value"]), item["units"]["CodeValue"])
                for item in group.get("measurementItems", [])
            },
        )
        for group in json.loads(out.read_text()).get("Measurements", [])
    ]


def test_highdicom_reads_back_every_mask_signed_and_unsigned(proof: Proof) -> None:
    reviewed = apply_review(proof.result, proof.review)
    for files, result in ((proof.unsigned, proof.result), (proof.signed, reviewed)):
        for path in files.get("seg", []):
            (image,) = result.images
            assert_highdicom_agrees(path, image)


def test_highdicom_reads_back_every_probability(proof: Proof) -> None:
    for path in proof.unsigned.get("seg:fractional", []):
        (image,) = proof.result.images
        assert_highdicom_agrees(path, image)


def test_highdicom_reads_back_every_report(proof: Proof) -> None:
    for path in proof.files("sr"):
        content = highdicom.sr.srread(path).content
        assert isinstance(content, highdicom.sr.MeasurementReport)
        ours = read_back_report(path)
        masks = [lesion.tracking_uid for lesion in ours.lesions if lesion.segmentation_uid]
        planar = content.get_planar_roi_measurement_groups()
        assert [one.tracking_uid for one in planar if one.reference_type == FRAME] == masks
        assert len(planar) == len(masks) + len(ours.statements)
        groups = {str(one.tracking_uid): one for one in content.get_image_measurement_groups()}
        outlined = [lesion for lesion in ours.lesions if lesion.outline]
        assert len(groups) == len(outlined) + len(ours.images)
        for lesion in outlined:
            (area,) = groups[lesion.group_uid].get_measurements(name=codes.SCT.Area)
            (outline,) = area.referenced_coordinates
            assert np.allclose(outline.value, lesion.outline)


def test_the_amendment_succeeds_the_signed_report_and_that_the_unsigned(proof: Proof) -> None:
    unsigned, signed, amended = (
        read_back_report(only(files, "sr"))
        for files in (proof.unsigned, proof.signed, proof.amended)
    )
    assert unsigned.predecessor_uid is None
    assert signed.predecessor_uid == unsigned.sop_instance_uid
    assert amended.predecessor_uid == signed.sop_instance_uid
    assert [one.birads for one in (unsigned, signed, amended)] == [None, "4C", "5"]


@pytest.mark.parametrize("text", ["sr", "sr:comprehensive-3d", "sr:enhanced"])
def test_the_signed_report_succeeds_that_of_its_own_class(proof: Proof, text: str) -> None:
    unsigned, signed = (only(files, text) for files in (proof.unsigned, proof.signed))
    before = read_back_report(unsigned).sop_instance_uid
    assert read_back_report(signed).predecessor_uid == before


def only(files: Files, text: str) -> Path:
    (path,) = files[text]
    return path
