"""The attributes of an instance that its rows contain, from one walk through its data set.

The parser of pydicom takes a millisecond or two for a header; the indexer has less for a whole file.
"""

from dataclasses import replace
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom.data_set_walk import ReadAt, WalkedDataSet, WalkLimits, walk_data_set
from dicom.images.header import InstanceHeader, parse_header

_KEYWORDS: Final = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "Modality",
    "StudyDescription",
    "SeriesDescription",
    "RecommendedDisplayFrameRate",
    "AnatomicRegionSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "CineRate",
    "FrameTime",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Laterality",
    "ImageLaterality",
    "FrameLaterality",
    "NumberOfFrames",
    "Rows",
    "Columns",
)
_TAGS: Final = frozenset(Tag(keyword) for keyword in _KEYWORDS)


def read_row_header(
    read: ReadAt, transfer_syntax_uid: str, limits: WalkLimits | None = None
) -> InstanceHeader:
    """Check that a data set is whole and return the attributes that rows contain.

    Attributes that rows do not contain are empty, such as the regions.

    Raises the errors of `walk_data_set`, and InvalidHeader for a missing or malformed UID.
    """
    walked = walk_data_set(read, transfer_syntax_uid, _TAGS, limits)
    return replace(parse_header(_to_dataset(walked)), transfer_syntax_uid=transfer_syntax_uid)


def _to_dataset(walked: WalkedDataSet) -> Dataset:
    """Return a data set whose values pydicom converts on access."""
    encoding = walked.encoding
    dataset = Dataset(
        {
            BaseTag(tag): RawDataElement(
                BaseTag(tag),
                raw.vr.decode() if raw.vr else None,
                len(raw.value),
                raw.value,
                0,
                encoding.implicit_vr,
                encoding.little_endian,
            )
            for tag, raw in walked.values.items()
        }
    )
    dataset.set_original_encoding(encoding.implicit_vr, encoding.little_endian)
    if character_set := dataset.get("SpecificCharacterSet"):
        dataset.set_original_encoding(
            encoding.implicit_vr, encoding.little_endian, convert_encodings(character_set)
        )
    return dataset
