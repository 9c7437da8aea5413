"""Copies attributes of a received image into a result.

Text is decoded, also in the items of sequences, and written in the character set of the result.
Private attributes are not copied, because their meaning is not known.
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
    """Copy attributes that have a valid value, and leave the others absent.

    Like the other functions here, it writes dates and times as PS3.5 6.2 requires.
    """
    for keyword in keywords:
        if _is_there(copied := _copied(source, keyword)):
            setattr(target, keyword, copied)


def copy_present(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes that are present: empty ones stay empty, absent ones absent.

    An empty sequence is left absent, because most optional sequences must have items.
    """
    for keyword in keywords:
        copied = _copied(source, keyword)
        if keyword in source and copied != []:
            _put(target, keyword, copied)


def copy_type_2(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes that have a value, and write the others empty."""
    for keyword in keywords:
        _put(target, keyword, _copied(source, keyword))


def copy_item(item: Dataset) -> Dataset:
    """Return a copy of a sequence item with its standard attributes, in Unicode."""
    copied = Dataset()
    tags = {keyword_for_tag(tag): tag for tag in sorted(item.keys())}
    known = [keyword for keyword, tag in tags.items() if tag_for_keyword(keyword) == tag]
    copy_present(item, copied, [keyword for keyword in known if keyword != _CHARACTER_SET])
    return copied


def _copied(source: Dataset, keyword: str) -> object:
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return [copied for item in get_items(source, keyword) if (copied := copy_item(item))]
    reader = _READERS.get(vr)
    return reader(source, keyword) if reader else get_value(source, keyword)


def _put(target: Dataset, keyword: str, copied: object) -> None:
    nothing: list[Dataset] | None = [] if dictionary_VR(keyword) == "SQ" else None
    setattr(target, keyword, copied if _is_there(copied) else nothing)


def _is_there(copied: object) -> bool:
    """Return whether it is a value; the number 0 is one."""
    return copied not in (None, "", b"", [])
