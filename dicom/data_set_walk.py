"""Walk through an encoded data set (PS3.5 7) without converting its values.

`walk_data_set` checks that a data set is whole to its last byte and returns the raw values of a few
attributes. It is some twenty times faster than a parser, reads a part of the data at a time, and has
limits, so that a small data set cannot take much time or memory. It recognizes the encoding of
elements as pydicom does, which reads the same data set later.
"""

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from struct import Struct
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicom.errors import InvalidHeader, LimitExceeded, TruncatedFile
from dicom.pixel_data import UNDEFINED_LENGTH

ReadAt = Callable[[int, int], bytes]
"""Returns the bytes from an offset in the data set, fewer than the given number only at its end."""

_ITEM: Final = 0xFFFEE000
_ITEM_DELIMITER: Final = 0xFFFEE00D
_SEQUENCE_DELIMITER: Final = 0xFFFEE0DD
_DELIMITER_GROUP: Final = 0xFFFE
_PIXEL_DATA: Final = 0x7FE00010
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # PS3.5 7.1.2
_FRAGMENT_VRS: Final = frozenset((b"OB", b"OW"))  # PS3.5 A.4
_WINDOW_BYTES: Final = 16_384
_ITEM_HEADER_BYTES: Final = 8
_LONGEST_ELEMENT_HEADER_BYTES: Final = 12
_MAX_VALUE_BYTES: Final = 65_536
_DEFLATED_CHUNK_BYTES: Final = 65_536
_INFLATED_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class WalkLimits:
    """What a data set may contain at most."""

    elements: int = 100_000
    """Data elements and items, on all levels together."""
    fragments: int = 200_000
    """Fragments of encapsulated pixel data. A cine has one or a few for each frame."""
    nesting: int = 32
    """Sequences within sequences."""
    inflated_bytes: int = 1 << 28
    """Size of a deflated data set once it is inflated."""


@dataclass(frozen=True)
class RawValue:
    """The encoded value of an attribute. ``vr`` is None if the encoding does not state it.

    A sequence has its encoded items. A value above 64 kB is cut off, or left out if it is a sequence.
    """

    vr: bytes | None
    value: bytes


@dataclass(frozen=True)
class DataSetEncoding:
    """How the top level of a data set is encoded, whatever its transfer syntax says."""

    implicit_vr: bool
    little_endian: bool


@dataclass(frozen=True)
class WalkedDataSet:
    """The result of a walk: raw values by tag, of the attributes that were found."""

    values: dict[int, RawValue]
    encoding: DataSetEncoding


def walk_data_set(
    read: ReadAt,
    transfer_syntax_uid: str,
    wanted: Collection[int],
    limits: WalkLimits | None = None,
) -> WalkedDataSet:
    """Check that a data set is whole and return the values of the `wanted` tags of its top level.

    Raises:
        TruncatedFile: A value, a fragment, a sequence or the deflated stream is cut off.
        InvalidHeader: The lengths of elements contradict each other.
        LimitExceeded: The data set exceeds `limits`.
    """
    limits = limits or WalkLimits()
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        read = _Inflater(read, limits.inflated_bytes).read
    order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
    walk = _Walk(read, order, frozenset(wanted), limits)
    implicit = walk.is_implicit(0, assumed=transfer_syntax_uid == ImplicitVRLittleEndian)
    walk.elements(0, None, implicit=implicit, depth=0)
    return WalkedDataSet(walk.found, DataSetEncoding(implicit, order == "<"))


class _Walk:
    """One pass from the first byte to the last. Offsets are those in the data set."""

    def __init__(
        self, read: ReadAt, order: str, wanted: frozenset[int], limits: WalkLimits
    ) -> None:
        self.found: dict[int, RawValue] = {}
        self._read = read
        self._wanted = wanted
        self._limits = limits
        self._elements_left = limits.elements
        self._fragments_left = limits.fragments
        self._window = b""
        self._window_start = 0
        self._explicit_header = Struct(f"{order}HH2sH")
        self._implicit_header = Struct(f"{order}HHL")
        self._long = Struct(f"{order}L")

    def elements(self, at: int, end: int | None, *, implicit: bool, depth: int) -> int:
        """Walk through the elements from `at` to `end` and return where they end.

        None stands for the end of the data set at depth 0, for an item delimiter below.
        """
        while end is None or at < end:
            head = at - self._window_start
            if head + _LONGEST_ELEMENT_HEADER_BYTES > len(self._window):
                head = self._load(at, _WINDOW_BYTES)
                if len(self._window) - head < _ITEM_HEADER_BYTES:
                    if depth == 0 and not any(self._window[head:]):  # padding
                        return at
                    raise TruncatedFile
            tag, vr, length, header_bytes = self._element_header(head, implicit=implicit)
            self._count_element()
            at += header_bytes
            if tag >= _ITEM:
                if tag == _ITEM_DELIMITER and depth and end in (None, at):
                    return at
                raise _damaged()
            at = self._value(tag, vr, at, length, implicit=implicit, depth=depth)
            if end is not None and at > end:
                raise _damaged()
        return at

    def _element_header(self, head: int, *, implicit: bool) -> tuple[int, bytes | None, int, int]:
        """Return tag, VR, length of the value and length of the header (PS3.5 7.1)."""
        window = self._window
        group, element, vr, length = self._explicit_header.unpack_from(window, head)
        tag = group << 16 | element
        if implicit or group == _DELIMITER_GROUP or not b"AA" <= vr <= b"ZZ":
            return tag, None, self._long.unpack_from(window, head + 4)[0], 8
        if vr not in LONG_VRS:
            return tag, vr, length, 8
        if head + _LONGEST_ELEMENT_HEADER_BYTES > len(window):
            raise TruncatedFile
        return tag, vr, self._long.unpack_from(window, head + 8)[0], 12

    def is_implicit(self, at: int, *, assumed: bool) -> bool:
        """Whether the elements at `at` have no VR: their first one decides, as in pydicom."""
        head = at - self._window_start
        if head + 6 > len(self._window):
            head = self._load(at, _WINDOW_BYTES)
        vr = self._window[head + 4 : head + 6]
        if len(vr) < 2:
            return assumed
        return not (0x40 < vr[0] < 0x5B and 0x40 < vr[1] < 0x5B)

    def _value(
        self, tag: int, vr: bytes | None, at: int, length: int, *, implicit: bool, depth: int
    ) -> int:
        """Walk through a value and return where it ends."""
        if depth == 0:
            self.found.pop(tag, None)  # of an element that occurs twice, the last one counts
        is_wanted = depth == 0 and tag in self._wanted
        if length == UNDEFINED_LENGTH and (tag == _PIXEL_DATA or vr in _FRAGMENT_VRS):
            return self._fragments(at)
        end = None if length == UNDEFINED_LENGTH else at + length
        is_sequence = vr == b"SQ" or (vr in (None, b"UN") and _is_sequence(tag))
        if end is not None and not (length and is_sequence):
            if is_wanted:
                self.found[tag] = RawValue(vr, self._bytes(at, min(length, _MAX_VALUE_BYTES)))
            return end
        start = self._read(at - 1, 1 + _MAX_VALUE_BYTES)[1:] if is_wanted else b""
        end = self._items(at, end, implicit=implicit or vr == b"UN", depth=depth + 1)
        if end - at <= len(start):
            self.found[tag] = RawValue(vr, start[: end - at])
        return end

    def _items(self, at: int, end: int | None, *, implicit: bool, depth: int) -> int:
        """Walk through the items of a sequence, up to its delimiter if `end` is None."""
        if depth > self._limits.nesting:
            raise LimitExceeded("nested sequences", self._limits.nesting)
        while end is None or at < end:
            tag, length = self._item_header(at, _WINDOW_BYTES)
            self._count_element()
            at += _ITEM_HEADER_BYTES
            if tag == _SEQUENCE_DELIMITER and end in (None, at):
                return at
            if tag != _ITEM:
                raise _damaged()
            item_end = None if length == UNDEFINED_LENGTH else at + length
            if end is not None and item_end is not None and item_end > end:
                raise _damaged()
            # an item may lack the VRs that the data set around it has, but not the reverse
            is_implicit = implicit or (length > 0 and self.is_implicit(at, assumed=False))
            at = self.elements(at, item_end, implicit=is_implicit, depth=depth)
        if at != end:
            raise _damaged()
        return at

    def _fragments(self, at: int) -> int:
        """Walk through the fragments of encapsulated pixel data (PS3.5 A.4)."""
        while True:
            tag, length = self._item_header(at, _ITEM_HEADER_BYTES)
            at += _ITEM_HEADER_BYTES
            if tag == _SEQUENCE_DELIMITER:
                return at
            if tag != _ITEM or length == UNDEFINED_LENGTH:
                raise _damaged()
            self._fragments_left -= 1
            if self._fragments_left < 0:
                raise LimitExceeded("fragments of pixel data", self._limits.fragments)
            at += length

    def _item_header(self, at: int, window_bytes: int) -> tuple[int, int]:
        """Return tag and length of an item or delimiter, which never have a VR."""
        head = at - self._window_start
        if head + _ITEM_HEADER_BYTES > len(self._window):
            head = self._load(at, window_bytes)
            if head + _ITEM_HEADER_BYTES > len(self._window):
                raise TruncatedFile
        group, element, length = self._implicit_header.unpack_from(self._window, head)
        return group << 16 | element, length

    def _count_element(self) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise LimitExceeded("data elements", self._limits.elements)

    def _bytes(self, at: int, count: int) -> bytes:
        head = at - self._window_start
        if head + count > len(self._window):
            head = self._load(at, max(count, _WINDOW_BYTES))
        value = self._window[head : head + count]
        if len(value) < count:
            raise TruncatedFile
        return value

    def _load(self, at: int, count: int) -> int:
        """Read a new window with the byte before `at`, and return the index of `at` in it.

        Raises TruncatedFile if the data set ends before `at`.
        """
        before = min(at, 1)
        self._window, self._window_start = self._read(at - before, count + before), at - before
        if len(self._window) < before:
            raise TruncatedFile
        return before


class _Inflater:
    """Inflates a data set (PS3.5 A.5) up to a limit and keeps only the part last read."""

    def __init__(self, read: ReadAt, max_bytes: int) -> None:
        self._source = read
        self._max_bytes = max_bytes
        self._consumed = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._part = b""
        self._part_start = 0

    def read(self, at: int, count: int) -> bytes:
        """Return the inflated bytes from `at`, which is never before that of an earlier call."""
        while not self._inflate.eof and self._part_start + len(self._part) < at + count:
            self._drop_before(at)
            self._part += self._inflate_chunk()
            if self._part_start + len(self._part) > self._max_bytes:
                raise LimitExceeded("bytes once inflated", self._max_bytes)
        self._drop_before(at)
        return self._part[at - self._part_start :][:count] if at >= self._part_start else b""

    def _drop_before(self, at: int) -> None:
        dropped = min(max(at - self._part_start, 0), len(self._part))
        self._part, self._part_start = self._part[dropped:], self._part_start + dropped

    def _inflate_chunk(self) -> bytes:
        deflated = self._inflate.unconsumed_tail
        if not deflated:
            deflated = self._source(self._consumed, _DEFLATED_CHUNK_BYTES)
            self._consumed += len(deflated)
        try:
            inflated = self._inflate.decompress(deflated, _INFLATED_CHUNK_BYTES)
        except zlib.error:
            raise _damaged() from None
        if not deflated and not inflated and not self._inflate.eof:
            raise TruncatedFile
        return inflated


def _is_sequence(tag: int) -> bool:
    """Whether an attribute is a sequence by the data dictionary (PS3.6)."""
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


def _damaged() -> InvalidHeader:
    return InvalidHeader("structure", "damaged: the lengths of its elements contradict each other")
