import re

import pytest

from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, derived_uid


def test_the_same_parts_give_the_same_uid() -> None:
    assert derived_uid("seg", "a") == derived_uid("seg", "a")


def test_a_uid_never_changes_between_releases() -> None:
    assert derived_uid("seg", "analysis", "1.2.3") == "2.25.68074101571058701879137410989805177480"


def test_different_parts_with_the_same_text_give_different_uids() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_it_is_a_uid_of_at_most_64_characters() -> None:
    for uid in (derived_uid(str(n)) for n in range(50)):
        assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", uid)
        assert len(uid) <= 64


@pytest.mark.parametrize("parts", [(), ("",), ("seg", "")])
def test_empty_parts_are_an_error(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="part"):
        derived_uid(*parts)


def test_the_implementation_identification_has_valid_lengths() -> None:
    assert len(IMPLEMENTATION_CLASS_UID) <= 64
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
