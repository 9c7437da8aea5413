"""Values of attributes, read so that an absent, empty or damaged one raises nothing."""

import math
import re
import struct
from collections.abc import Callable
from typing import Final, TypeVar

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_TIME: Final = re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?")
# pydicom converts a value on access, so damaged bytes raise these errors only then
_CONVERSION_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
)
Value = TypeVar("Value")


def get_value(dataset: Dataset, keyword: str) -> object:
    """Return the value as pydicom converts it, None when it is absent, empty or damaged."""
    return _convert(dataset, keyword, lambda value: value)


def get_text(dataset: Dataset, keyword: str) -> str:
    """Return the decoded value, empty when absent. A backslash joins multiple values."""
    return "\\".join(get_texts(dataset, keyword))


def get_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the decoded values without surrounding spaces, none when the attribute is absent."""

    def to_texts(value: object) -> tuple[str, ...]:
        values = value if isinstance(value, MultiValue) else [value]
        return tuple(str(item).strip() for item in values)

    return _convert(dataset, keyword, to_texts) or ()


def get_date(dataset: Dataset, keyword: str) -> str:
    """Return the date as YYYYMMDD, empty when absent or invalid.

    Archives still contain the dotted form of ACR-NEMA (PS3.5 6.2).
    """
    digits = get_text(dataset, keyword).replace(".", "")
    return digits if re.fullmatch(r"[0-9]{8}", digits) else ""


def get_time(dataset: Dataset, keyword: str) -> str:
    """Return the time as HH, HHMM, HHMMSS or HHMMSS.FFFFFF, empty when absent or invalid.

    The colons of ACR-NEMA are removed (PS3.5 6.2).
    """
    digits = get_text(dataset, keyword).replace(":", "")
    return digits if _TIME.fullmatch(digits) else ""


def get_integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the integer, None when the attribute is absent, empty or not an integer."""
    return _convert(dataset, keyword, lambda value: int(str(value)))


def get_number(dataset: Dataset, keyword: str) -> float | None:
    """Return the number, None when the attribute is absent, empty or not a finite number."""
    value = _convert(dataset, keyword, lambda value: float(str(value)))
    return value if value is not None and math.isfinite(value) else None


def get_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence, none when it is absent, empty or not a sequence."""
    value = get_value(dataset, keyword)
    return list(value) if isinstance(value, Sequence) else []


def _convert(dataset: Dataset, keyword: str, convert: Callable[[object], Value]) -> Value | None:
    try:
        value = dataset.get(keyword)
        return None if value is None or value == "" else convert(value)
    except _CONVERSION_ERRORS:
        return None
