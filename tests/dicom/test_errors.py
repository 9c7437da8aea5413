import re

import pytest

from dicom import errors
from dicom.errors import DicomError

EVERY = (
    errors.NotDicom(),
    errors.TruncatedFile(),
    errors.NoPixelData(),
    errors.UndecodableFrame(3),
    errors.FrameSizeMismatch(3),
    errors.FrameTimeout(3),
    errors.DecoderCrashed(3),
    errors.FrameTooLarge(256_000_000),
    errors.ImageTooLarge(2_000_000_000),
    errors.UnsupportedTransferSyntax("1.2.840.10008.1.2.4.100"),
    errors.InvalidHeader("StudyInstanceUID", "missing"),
    errors.LimitExceeded("nested sequences", 32),
    errors.InvalidResult("a mask is empty"),
    errors.UnknownProfile("'x' is not a destination profile. Use one of: general."),
    errors.UnknownResult("'pdf' is not a result kind. Use one of: seg, sr."),
    errors.ReadBackMismatch("the class differs"),
)


def test_each_error_is_listed_here() -> None:
    ours = {item for item in vars(errors).values() if isinstance(item, type)} - {DicomError}
    assert {type(error) for error in EVERY} == ours


def test_codes_are_unique_and_kebab_case() -> None:
    codes = [error.code for error in EVERY]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_a_text_is_a_sentence_without_a_uid(error: DicomError) -> None:
    assert str(error).endswith(".")
    assert not re.search(r"\d+\.\d+\.\d+", str(error))


def test_frames_are_counted_from_one_in_texts() -> None:
    assert "Frame 4 " in str(errors.UndecodableFrame(3))


def test_only_a_read_back_mismatch_is_not_permanent() -> None:
    assert [error.code for error in EVERY if not error.permanent] == ["read-back-mismatch"]
