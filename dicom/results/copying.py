"""Attributes of a received image, put into a result as they are meant, not as they are encoded.

Text is decoded, in the items of sequences too, and is written in the result's own character set.
Private attributes stay behind: nobody here knows what they hold.
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
    """Copy what has a value; what is absent, empty or nonsense stays absent.

    Dates and times are written as PS3.5 6.2 wants them. So do the other two.
    """
    for keyword in keywords:
        if _is_there(copied := _copied(source, keyword)):
            setattr(target, keyword, copied)


def copy_as_it_is(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy what is there: what is empty stays empty, what is absent stays absent.

    But a sequence has items or is not there, as most of the standard's optional ones must.
    """
    for keyword in keywords:
        copied = _copied(source, keyword)
        if keyword in source and copied != []:
            _put(target, keyword, copied)


def copy_type_2(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy what has a value, and write the rest empty."""
    for keyword in keywords:
        _put(target, keyword, _copied(source, keyword))


def copied_item(item: Dataset) -> Dataset:
    """Return the item of a sequence with all that the standard knows, in Unicode."""
    copied = Dataset()
    tags = {keyword_for_tag(tag): tag for tag in sorted(item.keys())}
    known = [keyword for keyword, tag in tags.items() if tag_for_keyword(keyword) == tag]
    copy_as_it_is(item, copied, [keyword for keyword in known if keyword != _CHARACTER_SET])
    return copied


def _copied(source: Dataset, keyword: str) -> object:
    vr = dictionary_VR(keyword)
    if vr == "SQ":
        return [copied for item in get_items(source, keyword) if (copied := copied_item(item))]
    reader = _READERS.get(vr)
    return reader(source, keyword) if reader else get_value(source, keyword)


def _put(target: Dataset, keyword: str, copied: object) -> None:
    nothing: list[Dataset] | None = [] if dictionary_VR(keyword) == "SQ" else None
    setattr(target, keyword, copied if _is_there(copied) else nothing)


def _is_there(copied: object) -> bool:
    """Tell whether it is a value: a number is, 0 too."""
    return copied not in (None, "", b"", [])
