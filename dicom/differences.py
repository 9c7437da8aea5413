"""Compare two data sets and describe their differences by keyword.

The descriptions quote values: use them for fictitious patients only.
"""

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_MAX_SHOWN_LENGTH: Final = 40


def find_differences(before: Dataset, after: Dataset) -> list[str]:
    """Return one line for each attribute that was added, removed or changed, in order of tags.

    Sequences are compared item by item. A line is `PatientName: 'Test' became 'TEST'`. Data sets
    with equal values have no differences, whatever their encoding.
    """
    return list(_compare_datasets(before, after, ""))


def _compare_datasets(before: Dataset, after: Dataset, prefix: str) -> Iterator[str]:
    for tag in sorted(before.keys() | after.keys()):
        name = f"{prefix}{keyword_for_tag(tag) or BaseTag(tag)}"
        try:
            if tag not in before:
                yield f"{name}: added, {_format_value(after[tag])}"
            elif tag not in after:
                yield f"{name}: removed, was {_format_value(before[tag])}"
            else:
                yield from _compare_elements(name, before[tag], after[tag])
        except Exception:  # noqa: BLE001  damaged values can raise any type
            yield f"{name}: cannot be read"


def _compare_elements(name: str, before: DataElement, after: DataElement) -> Iterator[str]:
    if before.VR != after.VR:
        yield f"{name}: VR {before.VR} became {after.VR}"
    elif before.VR == "SQ" and len(before.value) == len(after.value):
        for number, (old, new) in enumerate(zip(before.value, after.value, strict=True), 1):
            yield from _compare_datasets(old, new, f"{name}[{number}].")
    # equal numbers can have different texts
    elif before.value != after.value or str(before.value) != str(after.value):
        old_text, new_text = _format_value(before), _format_value(after)
        yield f"{name}: {old_text} became {'others' if old_text == new_text else new_text}"


def _format_value(element: DataElement) -> str:
    if element.VR == "SQ":
        return f"{len(element.value)} item(s)"
    if isinstance(element.value, bytes):
        return f"{len(element.value)} bytes"
    text = "" if element.value is None else str(element.value)
    return repr(text if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]}…")
