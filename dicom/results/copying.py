"""Copies attributes of a received image into a result.

Text is decoded at every level and written in the character set of the result. Dates and times are
written as PS3.5 6.2 requires. Private attributes are not copied, because their meaning is unknown.
"""

from collections.abc import Callable, Iterable
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.valuerep import STR_VR

from dicom.attributes import get_date, get_items, get_text, get_time, get_value

_READERS: Final[dict[str, Callable[[Dataset, str], object]]] = {
    **dict.fromkeys(STR_VR, get_text),
    "DA": get_date,
    "TM": get_time,
}
_CHARACTER_SET: Final = "SpecificCharacterSet"


def copy_values(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes that have a valid value, and leave the others absent."""
    for keyword in keywords:
        if _has_value(value := _read_value(source, keyword)):
            setattr(target, keyword, value)


def copy_present(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes that are present, even when empty, and leave the others absent.

    Empty sequences are left absent, because most optional sequences must have items.
    """
    for keyword in keywords:
        value = _read_value(source, keyword)
        if keyword in source and value != []:
            _write_value(target, keyword, value)


def copy_type_2(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes that have a valid value, and write the others empty."""
    for keyword in keywords:
        _write_value(target, keyword, _read_value(source, keyword))


def copy_item(item: Dataset) -> Dataset:
    """Return a copy of the standard attributes of a sequence item, with its text decoded."""
    copied = Dataset()
    tags = {keyword_for_tag(tag): tag for tag in sorted(item.keys())}
    known = [keyword for keyword, tag in tags.items() if tag_for_keyword(keyword) == tag]
    copy_present(item, copied, [keyword for keyword in known if keyword != _CHARACTER_SET])
    return copied


def _read_value(source: Dataset, keyword: str) -> object:
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return [copied for item in get_items(source, keyword) if (copied := copy_item(item))]
    reader = _READERS.get(vr)
    return reader(source, keyword) if reader else get_value(source, keyword)


def _write_value(target: Dataset, keyword: str, value: object) -> None:
    empty: list[Dataset] | None = [] if dictionary_VR(keyword) == "SQ" else None
    setattr(target, keyword, value if _has_value(value) else empty)


def _has_value(value: object) -> bool:
    """Return whether `value` is not empty. The number 0 is a value."""
    return value not in (None, "", b"", [])
