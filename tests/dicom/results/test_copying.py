from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom.files import read_without_pixels
from dicom.results.copying import copy_item, copy_present, copy_type_2, copy_values
from tests.dicom import making
from tests.dicom.images.test_header import NAMES


def item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


ALL = ("PatientComments", "PatientAge", "OtherPatientIDsSequence")


@pytest.mark.parametrize("character_set", NAMES)
def test_names_in_sequences_come_through_from_every_character_set(
    tmp_path: Path, character_set: str
) -> None:
    name = NAMES[character_set]
    inner = item(PatientID="7", PatientName=name)
    outer = item(PatientID="8", OtherPatientIDsSequence=[inner])
    changes = {
        "SpecificCharacterSet": character_set.split("\\"),
        "PatientName": name,
        "OtherPatientIDsSequence": [outer],
    }
    source = read_without_pixels(making.write_image(tmp_path / "image.dcm", changes=changes))
    target = pydicom.dcmread(making.write_image(tmp_path / "copy.dcm"))
    copy_present(source, target, ["OtherPatientIDsSequence"])
    target.save_as(tmp_path / "copy.dcm")
    (found,) = pydicom.dcmread(tmp_path / "copy.dcm").OtherPatientIDsSequence
    assert found.OtherPatientIDsSequence[0].PatientName == name
    assert name.encode() in (tmp_path / "copy.dcm").read_bytes()


def test_an_items_own_character_set_is_read_by_and_not_copied(tmp_path: Path) -> None:
    mine = item(SpecificCharacterSet="ISO_IR 144", PatientID="7", IssuerOfPatientID="Люкceмбypг")
    path = making.write_image(tmp_path / "i.dcm", changes={"OtherPatientIDsSequence": [mine]})
    (found,) = read_without_pixels(path).OtherPatientIDsSequence
    copied = copy_item(found)
    assert copied == item(PatientID="7", IssuerOfPatientID="Люкceмбypг")


def test_what_repeats_in_groups_of_its_own_is_left_out() -> None:
    overlay = item(PatientID="7")
    overlay.add_new(0x60020010, "US", 9)
    overlay.add_new(0x00100000, "UL", 4)
    assert copy_item(overlay) == item(PatientID="7")


def test_nothing_private_is_copied_at_any_depth() -> None:
    inner = item(CodeValue="1")
    inner.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", "secret")
    outer = item(PatientID="7", IssuerOfPatientIDQualifiersSequence=[inner])
    outer.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", "secret")
    alone = Dataset()
    alone.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", "secret")
    target = Dataset()
    source = item(OtherPatientIDsSequence=[outer, alone])
    copy_present(source, target, ["OtherPatientIDsSequence"])
    bare = item(PatientID="7", IssuerOfPatientIDQualifiersSequence=[item(CodeValue="1")])
    assert target == item(OtherPatientIDsSequence=[bare])


def test_empty_stays_empty_and_absent_stays_absent() -> None:
    source = item(PatientComments="", OtherPatientIDsSequence=[])
    as_it_is, values, type_2 = Dataset(), Dataset(), Dataset()
    copy_present(source, as_it_is, ALL)
    copy_values(source, values, ALL)
    copy_type_2(source, type_2, ALL)
    assert as_it_is == item(PatientComments=None)
    assert values == Dataset()
    assert type_2 == item(PatientComments=None, PatientAge=None, OtherPatientIDsSequence=[])


def test_numbers_stay_numbers_and_nought_is_one() -> None:
    source = item(PregnancyStatus=0, LongitudinalTemporalOffsetFromEvent=0.0, PatientWeight="71.50")
    target = Dataset()
    copy_values(source, target, source.dir())
    assert target == source
    assert str(target.PatientWeight) == "71.50"


def test_nonsense_is_as_good_as_empty() -> None:
    source = Dataset()
    source.add_new("PatientWeight", "LO", "heavy")
    source.add_new("LastMenstrualDate", "LO", "yesterday")
    source.add_new("OtherPatientIDsSequence", "LO", "none")
    target = Dataset()
    copy_values(source, target, ["LastMenstrualDate", "OtherPatientIDsSequence"])
    assert target == Dataset()


def test_several_values_and_lines_of_text_stay_what_they_are() -> None:
    source = item(
        OtherPatientNames=["Doe^Jane", "Roe^Jane"],
        PatientComments="one\\two\r\nthree",
        Allergies="a",
    )
    target = Dataset()
    copy_present(source, target, source.dir())
    assert target == source
