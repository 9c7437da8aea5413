import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom.files import write_dataset
from dicom.images.header import read_header
from dicom.results.catalogue import CATALOGUE
from dicom.results.provenance import algorithm_parameters, date_time, in_its_zone
from tests.dicom import making
from tests.dicom.conftest import Validate
from tests.dicom.images.test_header import NAMES, write_name


def objects_of(path: Path) -> list[Dataset]:
    """One object of every kind on one image, and the signed report."""
    lay_into_space(path)
    mask = making.disc((64, 80), 30, 30, 9)
    image = making.image_result(path, [making.lesion(mask)], heatmaps={1: making.heat(mask)})
    result = making.study_result(image)
    built = making.build_results(CATALOGUE, result)
    assert all(built.values())
    signed = making.build_signed_report(result)
    return [*(one for objects in built.values() for one in objects), signed]


def lay_into_space(path: Path) -> None:
    """Add a plane to the header. Other attributes keep their bytes."""
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


def times_of(dataset: Dataset) -> set[tuple[str, str]]:
    """The dates and times of creation."""
    content = "Content" if "ContentDate" in dataset else "PresentationCreation"
    return {
        (dataset[f"{what}Date"].value, dataset[f"{what}Time"].value)
        for what in ("InstanceCreation", "Series", content)
    }


@pytest.mark.parametrize(
    ("zone", "made", "signed"),
    [
        ("+0900", ("20260506", "140809"), ("20260506", "150809")),
        ("-0530", ("20260505", "233809"), ("20260506", "003809")),
        ("+0000", ("20260506", "050809"), ("20260506", "060809")),
    ],
)
def test_times_are_in_the_zone_that_the_image_states(
    tmp_path: Path, zone: str, made: tuple[str, str], signed: tuple[str, str]
) -> None:
    changes = {"TimezoneOffsetFromUTC": zone}
    *unsigned, verified = objects_of(making.write_image(tmp_path / "image.dcm", changes=changes))
    assert {dataset.TimezoneOffsetFromUTC for dataset in (*unsigned, verified)} == {zone}
    for dataset in unsigned:
        assert times_of(dataset) == {made}
        processing = dataset.ContributingEquipmentSequence[-1]
        assert processing.ContributionDateTime == f"{''.join(made)}{zone}"
    assert times_of(verified) == {signed}
    (observer,) = verified.VerifyingObserverSequence
    assert observer.VerificationDateTime == f"{''.join(signed)}{zone}"


@pytest.fixture
def east_coast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine stands there."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("east_coast")
@pytest.mark.parametrize("zone", [None, "", "CET", "+2500", "0100"])
def test_where_the_image_states_no_zone_times_are_local(
    tmp_path: Path, dciodvfy: Validate, zone: str | None
) -> None:
    source = making.write_image(tmp_path / "image.dcm", changes={"TimezoneOffsetFromUTC": zone})
    for dataset in objects_of(source)[:-1]:
        dciodvfy(write_dataset(dataset, tmp_path / "made.dcm").path)
        assert "TimezoneOffsetFromUTC" not in dataset
        assert times_of(dataset) == {("20260506", "010809")}


@pytest.mark.usefixtures("east_coast")
def test_the_offset_is_that_of_the_moment_and_not_that_of_today() -> None:
    local = [in_its_zone(Dataset(), datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 7)]
    assert [date_time(moment) for moment in local] == [
        "20251231190000-0500",
        "20260630200000-0400",
    ]


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
