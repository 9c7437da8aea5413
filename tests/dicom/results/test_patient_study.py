"""Whose results are: the modules of Patient and Study, and the orders."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from dicom.results.patient_study import copy_patient_and_study
from dicom.results.source_image import read_source
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.proof.iod_validation import violations
from tests.dicom.results.test_copying import item
from tests.dicom.results.test_provenance import objects_of, written

MODULES = (
    *("patient", "general-study", "patient-study"),
    *("clinical-trial-subject", "clinical-trial-study"),
)
VALUES: Mapping[str, object] = {
    **dict.fromkeys(("LO", "SH", "ST", "UT", "UC"), "Wort"),
    "LT": "Zwei\\Worte",
    "PN": "Müller^Änne",
    "AS": "056Y",
    "CS": "YES",
    "DA": "20260506",
    "TM": "0708",
    "DS": "1.5",
    "FD": 2.5,
    "US": 3,
    "UI": "1.2.3",
}


def code(meaning: str = "Änderung") -> Dataset:
    return item(CodeValue="103693007", CodingSchemeDesignator="SCT", CodeMeaning=meaning)


def keywords(module: str) -> list[str]:
    """The attributes of the module as highdicom's tables of the standard have them."""
    tables = json.loads((files("highdicom") / "_standard/module_attribute_map.json").read_text())
    return [row["keyword"] for row in tables[module] if not row["path"]]


@pytest.mark.parametrize("module", MODULES)
def test_every_attribute_of_the_module_is_copied(module: str) -> None:
    source = item(ClinicalTrialSponsorName="Wort", ClinicalTrialProtocolID="Wort")
    expected = [keyword for keyword in keywords(module) if keyword != "StudyInstanceUID"]
    for keyword in expected:
        vr = dictionary_VR(keyword)
        setattr(source, keyword, [code()] if vr == "SQ" else VALUES[vr])
    target = Dataset()
    copy_patient_and_study(source, target)
    assert {k: target.get(k) for k in expected} == {k: source[k].value for k in expected}


def test_of_an_empty_header_type_2_is_there_and_nothing_else() -> None:
    target = Dataset()
    copy_patient_and_study(Dataset(), target)
    assert sorted(target.dir()) == [
        *("AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex"),
        *("ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime"),
    ]
    assert not any(element.value for element in target)


def test_half_a_trial_is_none_and_a_whole_one_has_its_type_2() -> None:
    half, whole = Dataset(), Dataset()
    copy_patient_and_study(item(ClinicalTrialSponsorName="S", ClinicalTrialSubjectID="7"), half)
    assert not [keyword for keyword in half.dir() if "Trial" in keyword]
    source = item(ClinicalTrialSponsorName="S", ClinicalTrialProtocolID="P")
    copy_patient_and_study(source, whole)
    empty = ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName")
    assert [whole.get(keyword, "absent") for keyword in empty] == [None] * 3


FULL: Mapping[str, object] = {
    "IssuerOfPatientID": "KLINIK",
    "TypeOfPatientID": "TEXT",
    "IssuerOfPatientIDQualifiersSequence": [
        item(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")
    ],
    "OtherPatientIDsSequence": [
        item(PatientID=n, TypeOfPatientID="TEXT", IssuerOfPatientID="Köln") for n in ("A7", "B8")
    ],
    "PatientBirthTime": "0708",
    "EthnicGroupCodeSequence": [code()],
    "PatientComments": "Kommt wieder",
    "PatientAge": "056Y",
    "PatientSize": "1.72",
    "PatientWeight": "71.50",
    "IssuerOfAccessionNumberSequence": [item(LocalNamespaceEntityID="RIS")],
    "ReferringPhysicianIdentificationSequence": [
        item(PersonIdentificationCodeSequence=[code("Änne")], InstitutionName="Praxis Köln")
    ],
    "ConsultingPhysicianName": "Röntgen^Wilhelm",
    "ProcedureCodeSequence": [code()],
    "PhysiciansOfRecord": ["Röntgen^Wilhelm", "Curie^Marie"],
    "ClinicalTrialSponsorName": "Sponsor",
    "ClinicalTrialProtocolID": "P-1",
    "ClinicalTrialSubjectID": "S-1",
    "ClinicalTrialTimePointID": "",
}


def test_every_object_has_the_images_modules_and_is_valid(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes=FULL)
    before = pydicom.dcmread(source)
    expected = {keyword: before[keyword].value for keyword in FULL}
    for path in written(source):
        dciodvfy(path)
        assert not violations(path)
        found = pydicom.dcmread(path)
        assert {keyword: found.get(keyword) for keyword in FULL} == expected


def test_the_institution_is_the_scanners_and_not_ours(tmp_path: Path, dciodvfy: Validate) -> None:
    equipment = {
        "Manufacturer": "Maker",
        "InstitutionName": "Klinik Köln",
        "InstitutionAddress": "Dom 1",
        "InstitutionalDepartmentName": "Senologie",
        "DateOfLastCalibration": "20260101",
        "TimeOfLastCalibration": "0708",
    }
    source = making.write_image(tmp_path / "image.dcm", changes=equipment)
    for path in written(source):
        dciodvfy(path)
        found = pydicom.dcmread(path)
        scanner, _ = found.ContributingEquipmentSequence
        assert {keyword: scanner.get(keyword) for keyword in equipment} == equipment
        assert found.Manufacturer == "Sonogate"
        assert "InstitutionName" not in found


# --------------------------------------------------------------------------- orders


def order(procedure: str, **more: object) -> Dataset:
    return item(
        RequestedProcedureID=procedure,
        RequestedProcedureDescription="Mamma",
        RequestedProcedureCodeSequence=[code()],
        ScheduledProcedureStepID="STEP",
        **more,
    )


def ordered(folder: Path, number: int, *orders: Dataset) -> Path:
    changes = {"RequestAttributesSequence": list(orders)} if orders else {}
    path = folder / f"{number}.dcm"
    return making.write_image(path, instance_number=number, changes=changes)


def reports_of(*paths: Path) -> list[Dataset]:
    mask = making.disc((64, 80), 30, 30, 9)
    images = [making.image_result(path, [making.lesion(mask)]) for path in paths]
    made = making.build_results(("sr", "key-objects"), making.study_result(*images))
    return [one for objects in made.values() for one in objects]


def test_each_order_of_the_images_is_named_once(
    tmp_path: Path, dciodvfy: Validate, dsrdump: Validate
) -> None:
    first, second = order("P1"), order("P2", AccessionNumber="ACC2", StudyInstanceUID="1.2.9")
    paths = [ordered(tmp_path, 1, first), ordered(tmp_path, 2, first, second), ordered(tmp_path, 3)]
    for report in reports_of(*paths):
        one, two = report.ReferencedRequestSequence
        assert (one.RequestedProcedureID, two.RequestedProcedureID) == ("P1", "P2")
        assert (one.AccessionNumber, two.AccessionNumber) == ("ACC1", "ACC2")
        assert one.StudyInstanceUID == making.STUDY.study_instance_uid
        assert two.StudyInstanceUID == "1.2.9"
        assert one.RequestedProcedureCodeSequence[0].CodeMeaning == "Änderung"
        assert one.PlacerOrderNumberImagingServiceRequest is None
        assert "ScheduledProcedureStepID" not in one
        path = tmp_path / "report.dcm"
        report.save_as(path, enforce_file_format=True)
        dciodvfy(path)
        dsrdump(path)
        assert not violations(path)


def test_an_image_that_names_no_order_is_not_said_to_be_for_one(tmp_path: Path) -> None:
    nothing = item(ScheduledProcedureStepID="STEP")
    changes: Mapping[str, object] = {"RequestAttributesSequence": [nothing], "AccessionNumber": ""}
    for path in (
        ordered(tmp_path, 1),
        making.write_image(tmp_path / "n.dcm", changes=changes),
    ):
        assert not [one for one in reports_of(path) if "ReferencedRequestSequence" in one]


def test_only_reports_and_selections_name_orders(tmp_path: Path) -> None:
    made = objects_of(ordered(tmp_path, 1, order("P1")))
    named = {one.Modality for one in made if "ReferencedRequestSequence" in one}
    assert named == {"SR", "KO"}
    assert read_source(tmp_path / "1.dcm").header.accession_number == "ACC1"
