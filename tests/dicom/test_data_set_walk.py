"""The walk through encoded data sets, beside pydicom."""

import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from struct import pack
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicom.data_set_walk import ReadAt, WalkedDataSet, WalkLimits, walk_data_set
from dicom.errors import DicomError, InvalidHeader, LimitExceeded, TruncatedFile

SOP_INSTANCE, STUDY, PATIENT_NAME, ROWS = 0x00080018, 0x0020000D, 0x00100010, 0x00280010
NATIVE: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
EVERY: Final = (*NATIVE, JPEGBaseline8Bit)


def reader(data: bytes) -> ReadAt:
    return lambda at, count: data[at : at + count]


def walk(data: bytes, syntax: str, limits: WalkLimits | None = None) -> WalkedDataSet:
    return walk_data_set(reader(data), syntax, (SOP_INSTANCE, STUDY, PATIENT_NAME), limits)


def dataset(syntax: str, *, depth: int = 2, undefined_length: bool = False) -> Dataset:
    """Return a data set with sequences, private and unknown elements, and pixels."""
    made = Dataset()
    made.SOPInstanceUID, made.StudyInstanceUID = "1.2.3", "1.2.4"
    made.PatientName, made.Rows = "Doe^Jane", 2
    block = made.private_block(0x0009, "OURS", create=True)
    block.add_new(1, "UN", b"\x01\x02\x03\x04")
    block.add_new(2, "LO", "private")
    inner = Dataset()
    inner.CodeValue = "7771000"
    for _ in range(depth):
        outer = Dataset()
        outer.AnatomicRegionModifierSequence = [inner]
        outer["AnatomicRegionModifierSequence"].is_undefined_length = undefined_length
        outer.is_undefined_length_sequence_item = undefined_length
        inner = outer
    made.AnatomicRegionSequence = [inner, Dataset()]
    made["AnatomicRegionSequence"].is_undefined_length = undefined_length
    if UID(syntax).is_encapsulated:
        made.add_new("PixelData", "OB", encapsulate([b"\xff" * 40, b"\xfe" * 30]))
        made["PixelData"].is_undefined_length = True
    else:
        made.add_new("PixelData", "OW", b"\x07" * 40)
    return made


def encode(made: Dataset, syntax: str) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian = syntax != ExplicitVRBigEndian
    stream.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(stream, made)
    data: bytes = stream.getvalue()
    if syntax != DeflatedExplicitVRLittleEndian:
        return data
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


def read_with_pydicom(data: bytes, syntax: str) -> Dataset:
    """Raises what pydicom raises."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, meta)
    length = pack("<L", file.tell())
    start = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(start + file.getvalue() + data))


# ------------------------------------------------------------------------------ whole data sets


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("syntax", EVERY)
def test_values_are_found_in_every_encoding(syntax: str, undefined_length: bool) -> None:
    walked = walk(encode(dataset(syntax, undefined_length=undefined_length), syntax), syntax)
    assert walked.values[SOP_INSTANCE].value.rstrip(b"\0") == b"1.2.3"
    assert walked.values[PATIENT_NAME].value == b"Doe^Jane"
    assert walked.encoding.implicit_vr is (syntax == ImplicitVRLittleEndian)
    assert walked.encoding.little_endian is (syntax != ExplicitVRBigEndian)


def test_an_implicit_data_set_in_an_explicit_context_is_read_as_it_is() -> None:
    data = encode(dataset(ImplicitVRLittleEndian), ImplicitVRLittleEndian)
    walked = walk(data, ExplicitVRLittleEndian)
    assert walked.encoding.implicit_vr
    assert walked.values[SOP_INSTANCE].value.rstrip(b"\0") == b"1.2.3"


def test_an_unknown_sequence_of_undefined_length_has_implicit_items() -> None:
    """PS3.5 6.2.2, note 2."""
    inner = encode(dataset(ImplicitVRLittleEndian, depth=0), ImplicitVRLittleEndian)
    item = b"\xfe\xff\x00\xe0" + pack("<L", len(inner)) + inner
    unknown = b"\x09\x00\x10\x10UN\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = encode(dataset(ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert walk(unknown + data, ExplicitVRLittleEndian).values.keys() >= {SOP_INSTANCE}


def test_values_of_sequence_items_are_not_those_of_the_data_set() -> None:
    made = Dataset()
    made.ReferencedImageSequence = [Dataset()]
    made.ReferencedImageSequence[0].SOPInstanceUID = "9.9"
    for syntax in NATIVE:
        assert walk(encode(made, syntax), syntax).values == {}


def test_an_empty_data_set_has_no_values() -> None:
    assert walk(b"", ExplicitVRLittleEndian).values == {}


def test_the_padding_of_an_odd_length_is_ignored() -> None:
    data = encode(dataset(ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert walk(data + b"\0", ExplicitVRLittleEndian).values.keys() >= {SOP_INSTANCE}


def test_a_value_outside_the_first_window_is_found() -> None:
    made = dataset(ExplicitVRLittleEndian)
    made.private_block(0x0009, "OURS").add_new(3, "OB", b"\x05" * 100_000)
    for syntax in NATIVE:
        assert walk(encode(made, syntax), syntax).values[PATIENT_NAME].value == b"Doe^Jane"


# ------------------------------------------------------------------------------ damaged data sets


def element_ends(made: Dataset, syntax: str) -> set[int]:
    """Return where a top-level element ends. A data set cut off there looks whole."""
    ends, part = {0}, Dataset()
    for element in made:
        part.add(element)
        ends.add(len(encode(part, syntax)))
    return ends


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize("syntax", [s for s in EVERY if s != DeflatedExplicitVRLittleEndian])
def test_a_data_set_cut_off_within_an_element_is_refused(
    syntax: str, undefined_length: bool
) -> None:
    made = dataset(syntax, undefined_length=undefined_length)
    data, ends = encode(made, syntax), element_ends(made, syntax)
    for cut in range(len(data)):
        start = max(end for end in ends if end <= cut)
        if any(data[start:cut]):  # zeros look like padding
            with pytest.raises((TruncatedFile, InvalidHeader)):
                walk(data[:cut], syntax)


def test_a_deflated_data_set_cut_off_anywhere_is_refused() -> None:
    data = encode(dataset(DeflatedExplicitVRLittleEndian), DeflatedExplicitVRLittleEndian)
    for cut in range(len(data)):
        with pytest.raises(TruncatedFile):
            walk(data[:cut], DeflatedExplicitVRLittleEndian)


MUTATION = st.tuples(st.integers(0, 10_000), st.integers(0, 255))


@pytest.mark.parametrize("syntax", EVERY)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(MUTATION, min_size=1, max_size=6), st.booleans(), st.integers(0, 40), st.integers(0, 3)
)
@example([(4, 0)], True, 0, 0)
def test_damaged_bytes_raise_only_our_errors_and_never_give_another_identity(
    syntax: str, changes: list[tuple[int, int]], undefined_length: bool, cut: int, depth: int
) -> None:
    made = dataset(syntax, depth=depth, undefined_length=undefined_length)
    data = bytearray(encode(made, syntax))
    for position, value in changes:
        data[position % len(data)] = value
    damaged = bytes(data[: len(data) - cut])
    try:
        walked = walk(damaged, syntax)
    except DicomError:
        return
    try:
        uid = read_with_pydicom(damaged, syntax).get_item(SOP_INSTANCE)
    except Exception:  # noqa: BLE001  pydicom raises any type for damaged bytes
        return
    if ours := walked.values.get(SOP_INSTANCE):
        assert uid is not None
        assert uid.value == ours.value


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(EVERY))
def test_random_bytes_raise_only_our_errors(data: bytes, syntax: str) -> None:
    with suppress(DicomError):
        walk(data, syntax)


# ------------------------------------------------------------------------------ limits


def limited(refuse: Callable[[], object]) -> LimitExceeded:
    """Check that a data set is refused in little memory, and return the error."""
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded) as caught:
            refuse()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    return caught.value


def test_a_million_private_elements_are_refused() -> None:
    data = b"".join(pack("<HH2sH", 0x0009, number % 0xFFFF, b"LO", 0) for number in range(10**6))
    assert limited(lambda: walk(data, ExplicitVRLittleEndian)).what == "data elements"


def test_a_million_elements_inside_a_sequence_of_defined_length_are_refused() -> None:
    inner = pack("<HHL", 0x0008, 0x0104, 0) * 10**6
    item = b"\xfe\xff\x00\xe0" + pack("<L", len(inner)) + inner
    data = pack("<HHL", 0x0008, 0x2218, len(item)) + item
    assert limited(lambda: walk(data, ImplicitVRLittleEndian)).what == "data elements"


@pytest.mark.parametrize("undefined_length", [False, True])
def test_deep_nesting_is_refused(undefined_length: bool) -> None:
    for syntax in NATIVE:
        data = encode(dataset(syntax, depth=31, undefined_length=undefined_length), syntax)
        walk(data, syntax)
        data = encode(dataset(syntax, depth=33, undefined_length=undefined_length), syntax)
        assert limited(lambda d=data, s=syntax: walk(d, s)).what == "nested sequences"  # type: ignore[misc]  # mypy cannot type a lambda's default


def test_a_million_fragments_are_refused() -> None:
    start = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    data = start + b"\xfe\xff\x00\xe0\0\0\0\0" * 10**6
    assert limited(lambda: walk(data, JPEGBaseline8Bit)).what == "fragments of pixel data"


def test_a_deflated_megabyte_that_would_fill_the_memory_is_refused() -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    start = b"\x08\x00\x05\x00OB\0\0" + pack("<L", 1 << 30)
    bomb = deflate.compress(start) + b"".join(deflate.compress(zeros) for _ in range(1024))
    bomb += deflate.flush()
    assert len(bomb) < 1_100_000
    assert limited(lambda: walk(bomb, DeflatedExplicitVRLittleEndian)).limit == 1 << 28


def test_sequences_that_are_no_sequences_are_refused() -> None:
    made = dataset(ExplicitVRLittleEndian)
    made.AnatomicRegionSequence = Sequence([Dataset()])
    data = encode(made, ExplicitVRLittleEndian)
    start = data.index(b"\xfe\xff\x00\xe0")
    with pytest.raises(InvalidHeader, match="structure"):
        walk(data[:start] + b"\xfe\xff\x01\xe0" + data[start + 4 :], ExplicitVRLittleEndian)
