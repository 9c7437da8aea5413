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


def test_equal_data_sets_have_no_differences() -> None:
    assert find_differences(sent(), sent()) == []


def test_differences_are_in_the_order_of_tags() -> None:
    received = sent()
    received.InstitutionName = "Klinik"
    received.PatientName = "SONOGATE^TEST"
    del received.PatientID
    assert find_differences(sent(), received) == [
        "InstitutionName: added, 'Klinik'",
        "PatientName: 'Sonogate^Test' became 'SONOGATE^TEST'",
        "PatientID: removed, was 'SONOGATE-TEST'",
    ]


def test_items_of_sequences_are_numbered() -> None:
    received = sent()
    received.ConceptNameCodeSequence[0].CodeMeaning = "Two"
    assert find_differences(sent(), received) == [
        "ConceptNameCodeSequence[1].CodeMeaning: 'One' became 'Two'"
    ]
    received.ConceptNameCodeSequence.append(Dataset())
    assert find_differences(sent(), received) == [
        "ConceptNameCodeSequence: 1 item(s) became 2 item(s)"
    ]


def test_equal_numbers_with_different_texts_are_a_difference() -> None:
    received = sent()
    received.SliceThickness = DSfloat("1.5")
    assert find_differences(sent(), received) == ["SliceThickness: '1.50' became '1.5'"]


def test_bytes_are_counted_and_long_values_truncated() -> None:
    received = sent()
    received.PixelData = b"\0\1"
    received.PatientID = "7" * 64
    assert find_differences(sent(), received) == [
        f"PatientID: 'SONOGATE-TEST' became '{'7' * 40}…'",
        "PixelData: 4 bytes became 2 bytes",
    ]


def test_bytes_of_the_same_length_can_differ() -> None:
    received = sent()
    received.PixelData = b"\0\1\2\4"
    assert find_differences(sent(), received) == ["PixelData: 4 bytes became others"]


def test_another_value_representation_is_a_difference() -> None:
    received = sent()
    received[0x00100020] = DataElement(0x00100020, "SH", "SONOGATE-TEST")
    assert find_differences(sent(), received) == ["PatientID: VR LO became SH"]


def test_a_private_attribute_is_named_by_its_tag() -> None:
    received = sent()
    received.add_new(0x00091001, "LO", "x")
    assert find_differences(sent(), received) == ["(0009,1001): added, 'x'"]


def test_a_value_that_cannot_be_read_is_named() -> None:
    received = sent()
    rows = Tag("Rows")
    received[rows] = RawDataElement(rows, "US", 3, b"\1\2\3", 0, False, True)
    assert find_differences(sent(), received) == ["Rows: cannot be read"]
