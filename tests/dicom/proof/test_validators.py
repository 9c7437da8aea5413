"""Validators that Sonogate did not write, over every object of every kind of study."""

import pydicom
import pytest

from tests.dicom.conftest import Validate
from tests.dicom.proof.conftest import ASKED, Proof

KINDS = tuple(dict.fromkeys(text.partition(":")[0] for text in ASKED))


def test_dciodvfy_finds_no_error_in_any_object(proof: Proof, dciodvfy: Validate) -> None:
    paths = proof.files(*KINDS)
    assert len(paths) >= 7  # three classes of report unsigned, three signed, one amended
    for path in paths:
        dciodvfy(path)


@pytest.mark.peer
def test_dsrdump_renders_every_report_and_selection(proof: Proof, dsrdump: Validate) -> None:
    for path in proof.files("sr", "key-objects"):
        dsrdump(path)


def test_every_object_has_its_study_and_not_one_is_without_patient(proof: Proof) -> None:
    source = pydicom.dcmread(proof.result.images[0].source, stop_before_pixels=True)
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
