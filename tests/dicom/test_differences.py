from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DSfloat

from dicom.differences import find_differences


def sent() -> Dataset:
    dataset, item = Dataset(), Dataset()
    item.CodeValue, item.CodeMeaning = "1", "One"
    dataset.PatientName = "Sonogate^Test"
    dataset.PatientID = "SONOGATE-TEST"
    dataset.SliceThickness = DSfloat("1.50")
    dataset.ConceptNameCodeSequence = [item]
    dataset.add_new(0x7FE00010, "OW", b"\0\1\2\3")
    return dataset


def test_the_same_is_no_difference() -> None:
    assert find_differences(sent(), sent()) == []


def test_what_was_added_removed_and_changed_is_named_in_the_order_of_tags() -> None:
    came = sent()
    came.InstitutionName = "Klinik"
    came.PatientName = "SONOGATE^TEST"
    del came.PatientID
    assert find_differences(sent(), came) == [
        "InstitutionName: added, 'Klinik'",
        "PatientName: 'Sonogate^Test' became 'SONOGATE^TEST'",
        "PatientID: removed, was 'SONOGATE-TEST'",
    ]


def test_items_of_sequences_are_told_apart() -> None:
    came = sent()
    came.ConceptNameCodeSequence[0].CodeMeaning = "Two"
    assert find_differences(sent(), came) == [
        "ConceptNameCodeSequence[1].CodeMeaning: 'One' became 'Two'"
    ]
    came.ConceptNameCodeSequence.append(Dataset())
    assert find_differences(sent(), came) == ["ConceptNameCodeSequence: 1 item(s) became 2 item(s)"]


def test_an_equal_number_that_is_written_otherwise_is_a_difference() -> None:
    came = sent()
    came.SliceThickness = DSfloat("1.5")
    assert find_differences(sent(), came) == ["SliceThickness: '1.50' became '1.5'"]


def test_bytes_are_counted_and_long_values_cut() -> None:
    came = sent()
    came.PixelData = b"\0\1"
    came.PatientID = "7" * 64
    assert find_differences(sent(), came) == [
        f"PatientID: 'SONOGATE-TEST' became '{'7' * 40}…'",
        "PixelData: 4 bytes became 2 bytes",
    ]


def test_bytes_of_the_same_length_can_differ() -> None:
    came = sent()
    came.PixelData = b"\0\1\2\4"
    assert find_differences(sent(), came) == ["PixelData: 4 bytes became others"]


def test_another_value_representation_is_told() -> None:
    came = sent()
    came[0x00100020] = DataElement(0x00100020, "SH", "SONOGATE-TEST")
    assert find_differences(sent(), came) == ["PatientID: VR LO became SH"]


def test_a_private_attribute_goes_by_its_tag() -> None:
    came = sent()
    came.add_new(0x00091001, "LO", "x")
    assert find_differences(sent(), came) == ["(0009,1001): added, 'x'"]


def test_a_value_that_cannot_be_read_is_named() -> None:
    came = sent()
    rows = Tag("Rows")
    came[rows] = RawDataElement(rows, "US", 3, b"\1\2\3", 0, False, True)
    assert find_differences(sent(), came) == ["Rows: cannot be read"]
