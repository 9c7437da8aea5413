from datetime import timedelta

import pytest

from tests.webui.seeding import NOW
from webui import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Berg^Anna", "Berg, Anna"),
        ("Berg^Anna^Maria^Dr^MD", "Berg, Anna Maria"),
        ("Berg", "Berg"),
        ("^Anna", "Anna"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("=山田^太郎", "山田, 太郎"),
        ("", ""),
        ("^^^^", ""),
    ],
)
def test_person_names_read_family_first(value: str, shown: str) -> None:
    assert formats.person_name(value) == shown


@pytest.mark.parametrize(
    ("birth", "on", "years"),
    [
        ("19680304", "20261120", 58),
        ("19681121", "20261120", 57),
        ("20000229", "20260228", 25),
        ("", "20261120", None),
        ("1968", "20261120", None),
        ("20270101", "20261120", None),
    ],
)
def test_an_age_is_in_whole_years_or_not_given(birth: str, on: str, years: int | None) -> None:
    assert formats.age_years(birth, on) == years


def test_age_and_sex_leave_out_what_is_not_known() -> None:
    assert formats.age_sex("19680304", "F", "20261120") == "58 y F"
    assert formats.age_sex("", "F", "20261120") == "F"
    assert formats.age_sex("", "", "") == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "50 %"),
        (0.999, "> 99 %"),
        (0.001, "< 1 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (None, ""),
    ],
)
def test_a_probability_is_never_rounded_to_certainty(value: float | None, shown: str) -> None:
    assert formats.percent(value) == shown


def test_dates_are_written_as_iso_and_strange_ones_as_they_came() -> None:
    assert formats.dicom_date("20261120") == "2026-11-20"
    assert formats.dicom_date("2026.11") == "2026.11"
    assert formats.clock(None) == formats.seconds(None) == ""
    assert formats.seconds(NOW + timedelta(seconds=5)).endswith(":05")
