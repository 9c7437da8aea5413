"""Limits of what is decoded: an image that exceeds them is refused before memory is taken for it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from dicom.errors import (
    FrameSizeMismatch,
    FrameTooLarge,
    LimitExceeded,
    UndecodableFrame,
)
from dicom.files import read_without_pixels
from dicom.images.frames import decode_frames
from tests.conftest import SetLimits
from tests.dicom import making
from tests.dicom.images import abuse

MEMORY_PROGRAM = """
import json, sys
from pathlib import Path
from dicom.errors import DicomError
from dicom.images.frames import decode_frames
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
decode = lambda path: sum(1 for _ in decode_frames(Path(path)))
decode(sys.argv[1])
before, codes = peak(), []
for path in sys.argv[2:]:
    try:
        codes.append(str(decode(path)))
    except DicomError as error:
        codes.append(error.code)
print(json.dumps([codes, peak() - before]))
"""


def decode_elsewhere(harmless: Path, paths: Sequence[Path]) -> tuple[list[str], float]:
    """Return the code of each file, and by how many MiB they raised the peak memory of a process."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, harmless, *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    codes, growth = json.loads(done.stdout)
    return codes, growth


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_small_files_that_declare_huge_frames_take_no_memory(tmp_path: Path) -> None:
    expected = {
        abuse.write_codestream(
            tmp_path / f"{name}-{side}.dcm", syntax, declare(abuse.ABSURD), side
        ): code
        for side, code in ((None, "frame-size-mismatch"), (abuse.ABSURD, "frame-too-large"))
        for name, (syntax, declare) in enumerate(abuse.DECLARED.items())
    }
    rle = abuse.inflating_rle(6_000_000)
    expected[abuse.write_codestream(tmp_path / "rle.dcm", RLELossless, rle)] = "frame-size-mismatch"
    harmless = abuse.write_codestream(
        tmp_path / "harmless.dcm", JPEGBaseline8Bit, abuse.making_jpeg()
    )
    codes, growth = decode_elsewhere(harmless, list(expected))
    assert codes == list(expected.values())
    assert growth < 60


@pytest.mark.parametrize("syntax", abuse.DECLARED)
def test_a_frame_too_short_for_its_size_is_refused(tmp_path: Path, syntax: str) -> None:
    side = 15_000  # within the limit
    codestream = abuse.DECLARED[syntax](side)
    path = abuse.write_codestream(tmp_path / "a.dcm", syntax, codestream, side)
    with pytest.raises(UndecodableFrame, match="too short"):
        next(decode_frames(path))


def test_each_frame_header_counts(tmp_path: Path) -> None:
    good = abuse.declare_jpeg_size(len(abuse.SMALL))
    start = good.index(b"\xff\xc0")
    two = good[:start] + abuse.declare_jpeg_size(abuse.ABSURD)[start : start + 13] + good[start:]
    path = abuse.write_codestream(tmp_path / "a.dcm", JPEGBaseline8Bit, two)
    with pytest.raises(FrameSizeMismatch):
        next(decode_frames(path))


@pytest.mark.parametrize("syntax", [*abuse.DECLARED, RLELossless])
def test_a_codestream_that_ends_in_its_header_is_damaged(tmp_path: Path, syntax: str) -> None:
    whole = abuse.inflating_rle(100) if syntax == RLELossless else abuse.DECLARED[syntax](64)
    for end in range(2, 40, 2):
        path = abuse.write_codestream(tmp_path / "a.dcm", syntax, whole[:end])
        with pytest.raises(UndecodableFrame):
            next(decode_frames(path))


def test_rle_segments_that_overlap_or_are_too_short_are_refused(tmp_path: Path) -> None:
    overlapping = bytearray(abuse.inflating_rle(500, segments=1))
    overlapping[4] = 60
    for name, frame in (("overlap", bytes(overlapping)), ("short", abuse.inflating_rle(20))):
        path = abuse.write_codestream(tmp_path / f"{name}.dcm", RLELossless, frame)
        with pytest.raises(UndecodableFrame):
            next(decode_frames(path))


def test_native_frames_have_the_same_limit(tmp_path: Path, decoding_limits: SetLimits) -> None:
    path = making.write_image(tmp_path / "a.dcm")
    decoding_limits(frame_bytes=abuse.SMALL.size)
    assert next(decode_frames(path)).shape == abuse.SMALL.shape
    decoding_limits(frame_bytes=abuse.SMALL.size - 1)
    with pytest.raises(FrameTooLarge):
        next(decode_frames(path))


# --------------------------------------------------------------------------- data sets


def test_a_data_set_that_inflates_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = abuse.write_inflating_data_set(tmp_path / "a.dcm", 300_000_000)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(LimitExceeded, match="inflated"):
        read_without_pixels(path)


def test_too_many_elements_and_too_deep_sequences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="data elements"):
        read_without_pixels(abuse.write_many_elements(tmp_path / "many.dcm", 100_001))
    with pytest.raises(LimitExceeded, match="nested"):
        read_without_pixels(abuse.write_nested_sequences(tmp_path / "deep.dcm", 33))
    read_without_pixels(abuse.write_nested_sequences(tmp_path / "less.dcm", 30))
