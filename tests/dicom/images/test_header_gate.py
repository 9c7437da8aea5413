from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    MPEG4HP41,
    CTImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.files import read_without_pixels
from dicom.images.header import read_header
from dicom.images.header_gate import find_header_refusal
from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making


def refusal_code(dataset: Dataset) -> str | None:
    refusal = find_header_refusal(dataset)
    return refusal.code if refusal else None


def changed(**attributes: object) -> Dataset:
    dataset = build_ultrasound_image(making.gray(), study=making.STUDY, spacing_mm=0.1)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


ELSEWHERE = {"BodyPartExamined": "THYROID", "AnatomicRegionSequence": []}
DERIVED = {"Manufacturer": MANUFACTURER, "ManufacturerModelName": RESULT_MODEL}


@pytest.mark.parametrize(
    ("code", "attributes"),
    [
        ("derived", DERIVED),
        ("not-ultrasound", {"SOPClassUID": CTImageStorage, "Modality": "CT"}),
        ("not-ultrasound", {"SOPClassUID": SegmentationStorage, "Modality": "SEG"}),
        ("not-ultrasound", {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}),
        ("no-pixels", {"Rows": 0}),
        ("too-small", {"Rows": 31}),
        ("too-small", {"Rows": 1, "Columns": 1}),
        ("nameless-frames", {"NumberOfFrames": 2}),
        ("wrong-body-part", ELSEWHERE),
        ("wrong-body-part", ELSEWHERE | {"BodyPartExamined": "ABDOMEN"}),
        ("color-doppler", {"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0011"]}),
        ("color-doppler", {"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "0101"]}),
        ("elastography", {"SeriesDescription": "Breast elastogram"}),
        ("elastography", {"ImageType": ["ORIGINAL", "PRIMARY", "", "", "SHEAR WAVE"]}),
    ],
)
def test_images_that_the_networks_were_not_made_for_are_refused(
    code: str, attributes: Mapping[str, object]
) -> None:
    assert refusal_code(changed(**attributes)) == code


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6"},
        {"SOPClassUID": SecondaryCaptureImageStorage},
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "BREAST", "not hexadecimal"]},
        ELSEWHERE | {"BodyPartExamined": ""},
        ELSEWHERE | {"BodyPartExamined": "Mamma links"},
        ELSEWHERE | {"BodyPartExamined": "SMALL PARTS"},
        ELSEWHERE | {"BodyPartExamined": "AXILLA"},
        {"BodyPartExamined": "OTHER THING"},  # with the code of the breast
        {"Rows": 32, "Columns": 32},
    ],
)
def test_a_breast_ultrasound_image_is_accepted(attributes: Mapping[str, object]) -> None:
    assert refusal_code(changed(**attributes)) is None


def test_video_is_refused_for_its_encoding() -> None:
    dataset = changed()
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    assert refusal_code(dataset) == "unsupported-transfer-syntax"


def test_a_data_set_from_the_network_needs_no_file_meta() -> None:
    dataset = changed()
    del dataset.file_meta
    assert refusal_code(dataset) is None


def test_a_color_flow_region_is_refused() -> None:
    dataset = changed()
    flow = deepcopy(dataset.SequenceOfUltrasoundRegions[0])
    flow.RegionDataType = 2
    dataset.SequenceOfUltrasoundRegions.append(flow)
    assert refusal_code(dataset) == "color-doppler"


def test_two_tissue_regions_of_like_size_are_a_split_screen() -> None:
    dataset = changed()
    dataset.SequenceOfUltrasoundRegions.append(dataset.SequenceOfUltrasoundRegions[0])
    assert refusal_code(dataset) == "split-screen"


def test_a_small_inset_beside_the_image_is_no_split_screen() -> None:
    dataset = changed()
    inset = deepcopy(dataset.SequenceOfUltrasoundRegions[0])
    inset.RegionLocationMaxX1 = inset.RegionLocationMaxY1 = 10
    dataset.SequenceOfUltrasoundRegions.append(inset)
    assert refusal_code(dataset) is None


def test_a_refusal_text_is_a_sentence() -> None:
    refusal = find_header_refusal(changed(Rows=0))
    assert refusal is not None
    assert refusal.text.endswith(".")


def test_header_and_data_set_have_the_same_refusal(shared_data: Path) -> None:
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        assert find_header_refusal(read_header(path)) == find_header_refusal(
            read_without_pixels(path)
        )
