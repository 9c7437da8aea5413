import logging
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom.files import write_dataset
from dicom.header import read_header
from dicom.provenance import algorithm_parameters
from dicom.sr import build_verified_report
from dicom.variants import CATALOGUE, build_set, parse_spec
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.test_header import NAMES, write_name


def objects_of(path: Path) -> list[Dataset]:
    """One object of every kind on one image, and the signed report."""
    lay_into_space(path)
    mask = making.disc((64, 80), 30, 30, 9)
    image = making.image_result(path, [making.lesion(mask)], heatmaps={1: making.heat(mask)})
    result = making.study_result(image)
    built = build_set(map(parse_spec, CATALOGUE), result)
    assert all(built.values())
    (report,), segmentations = built[parse_spec("sr")], built[parse_spec("seg")]
    signed = build_verified_report(result, segmentations, making.REVIEW, report)
    return [*(one for objects in built.values() for one in objects), signed]


def lay_into_space(path: Path) -> None:
    """What stands in the file already stays as it is, byte for byte."""
    dataset = pydicom.dcmread(path)
    for keyword, value in making.PLANE.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def written(path: Path) -> list[Path]:
    made = objects_of(path)
    return [write_dataset(one, path.with_suffix(f".{n}.dcm")).path for n, one in enumerate(made)]


@pytest.mark.parametrize("character_set", NAMES)
def test_names_in_every_character_set_come_through_in_every_object(
    tmp_path: Path, dciodvfy: Validate, character_set: str
) -> None:
    name = NAMES[character_set]
    for path in written(write_name(tmp_path / "image.dcm", character_set, name)):
        dciodvfy(path)
        dataset = pydicom.dcmread(path)
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(dataset.PatientName) == name
        assert name.encode() in path.read_bytes()


def test_patient_and_study_are_the_sources(tmp_path: Path) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes={"PatientAge": "056Y"})
    expected = pydicom.dcmread(source)
    patient = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge")
    study = ("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber")
    words = ("StudyDescription", "ReferringPhysicianName")
    keywords = (*patient, *study, *words)
    for path in written(source):
        found = pydicom.dcmread(path)
        assert {k: found[k].value for k in keywords} == {k: expected[k].value for k in keywords}


def test_empty_stays_empty_and_absent_type_3_stays_absent(tmp_path: Path) -> None:
    changes = {"PatientBirthDate": "", "StudyDescription": None}
    for dataset in objects_of(making.write_image(tmp_path / "image.dcm", changes=changes)):
        assert not dataset.PatientBirthDate
        assert "StudyDescription" not in dataset


def test_a_sex_that_dicom_does_not_know_does_not_stop_the_result(tmp_path: Path) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes={"PatientSex": "X"})
    assert {dataset.PatientSex for dataset in objects_of(source)} == {"X"}


def test_acquisition_and_processing_equipment_are_named(tmp_path: Path) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes={"Manufacturer": "Maker"})
    for dataset in objects_of(source):
        acquisition, processing = dataset.ContributingEquipmentSequence
        assert acquisition.Manufacturer == "Maker"
        assert processing.ManufacturerModelName == "sonogate-busi"
        assert processing.ContributionDateTime == "20260506070809+0200"
        assert making.ALGORITHM.segmenter_digest in processing.ContributionDescription


def test_without_a_manufacturer_there_is_no_acquisition_equipment(tmp_path: Path) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes={"Manufacturer": ""})
    for dataset in objects_of(source):
        assert len(dataset.ContributingEquipmentSequence) == 1


def test_parameters_name_both_networks_weights() -> None:
    classifier, segmenter = algorithm_parameters(making.ALGORITHM)
    assert classifier == f"classifier sha256:{'ab' * 32}"
    assert segmenter == f"segmenter sha256:{'cd' * 32}"


def test_no_log_line_holds_patient_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    changes = {"PatientName": "Ohne Trennung", "PatientID": "SECRET-7", "PatientSex": "Q"}
    source = making.write_image(tmp_path / "image.dcm", changes=changes)
    with caplog.at_level(logging.DEBUG):
        objects_of(source)
    assert "Ohne" not in caplog.text
    assert "SECRET-7" not in caplog.text
    assert read_header(source).sop_instance_uid not in caplog.text


def test_old_forms_of_dates_and_times_are_written_as_dicom_wants_them(
    tmp_path: Path, dciodvfy: Validate
) -> None:
    source = making.write_image(tmp_path / "image.dcm")
    dataset = pydicom.dcmread(source)
    dataset.add_new("StudyDate", "LO", "1997.04.24")
    dataset.add_new("StudyTime", "LO", "14:04:38")
    dataset.save_as(source)
    for path in written(source):
        dciodvfy(path)
        found = pydicom.dcmread(path)
        assert (found.StudyDate, found.StudyTime) == ("19970424", "140438")
