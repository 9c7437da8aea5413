"""In what two data sets differ, in the words of the data dictionary.

Values are told, so this is for made-up patients only.
"""

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_SHOWN: Final = 40
"""Characters of a value."""


def differences(before: Dataset, after: Dataset) -> list[str]:
    """Return a line for each attribute that was added, removed or changed, in the order of the
    tags; in sequences item by item: `PatientName: 'Test' became 'TEST'`. Empty when the data sets
    say the same, however they are encoded.
    """
    return list(_differing(before, after, ""))


def _differing(before: Dataset, after: Dataset, where: str) -> Iterator[str]:
    for tag in sorted(before.keys() | after.keys()):
        name = f"{where}{keyword_for_tag(tag) or BaseTag(tag)}"
        try:
            yield from _of_element(name, before.get(tag), after.get(tag))
        except Exception:  # noqa: BLE001  any exception type can come out of a damaged value
            yield f"{name}: cannot be read"


def _of_element(name: str, before: DataElement | None, after: DataElement | None) -> Iterator[str]:
    if before is None and after is not None:
        yield f"{name}: added, {_shown(after)}"
    elif before is not None and after is None:
        yield f"{name}: removed, was {_shown(before)}"
    elif before is not None and after is not None:
        yield from _changed(name, before, after)


def _changed(name: str, before: DataElement, after: DataElement) -> Iterator[str]:
    if before.VR != after.VR:
        yield f"{name}: VR {before.VR} became {after.VR}"
    elif before.VR == "SQ" and len(before.value) == len(after.value):
        for number, (one, other) in enumerate(zip(before.value, after.value, strict=True), 1):
            yield from _differing(one, other, f"{name}[{number}].")
    # numbers in text can be equal and written otherwise
    elif before.value != after.value or str(before.value) != str(after.value):
        was, became = _shown(before), _shown(after)
        yield f"{name}: {was} became {'others' if was == became else became}"


def _shown(element: DataElement) -> str:
    if element.VR == "SQ":
        return f"{len(element.value)} item(s)"
    if isinstance(element.value, bytes):
        return f"{len(element.value)} bytes"
    text = "" if element.value is None else str(element.value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
