"""The tables in docs/conformance/viewers.md say what the viewers show."""

from collections.abc import Sequence

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.dicom import making
from tests.viewers.programs import Program
from tests.viewers.seen import Verdict, judge_mask, judge_outlines, judge_picture, judge_values
from tests.viewers.standard_studies import SPECS, StandardStudy, make_standard_studies
from tests.viewers.survey import (
    PAGE,
    PICTURES,
    PROGRAMS,
    Column,
    Survey,
    read_cells,
    read_columns,
    renew_page,
    survey,
    write_name,
    write_tables,
)

AGAIN = "run `python -m tests.viewers.survey`"
MOST_SENT = ("seg", "sr", "heatmap-sc")
"""What is shown again in every test run: a browser takes seconds for each object."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[StandardStudy]:
    return make_standard_studies(tmp_path_factory.mktemp("viewers") / "studies")


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str], str]:
    return read_cells(PAGE.read_text(encoding="utf-8"))


def test_the_page_says_something_of_every_result(
    cells: dict[tuple[str, str], str],
) -> None:
    columns = {title for title, _ in cells}
    names = [title.rsplit(" ", 1)[0] for title in columns]
    assert sorted(names) == sorted(program.name for program in PROGRAMS), AGAIN
    rows = {write_name(spec) for spec in SPECS}
    assert {row for _, row in cells} == rows, AGAIN
    assert len(cells) == len(columns) * len(rows)


def test_every_viewer_has_its_picture() -> None:
    columns = read_columns(PAGE.read_text(encoding="utf-8")).values()
    slugs = [one.program.slug for one in columns if one.program.is_viewer]
    sizes = [(PICTURES / f"{slug}.jpg").stat().st_size for slug in slugs]
    assert 0 < sum(sizes) < 1_500_000


@pytest.mark.peer
@pytest.mark.parametrize(
    "program",
    [one for one in PROGRAMS if not one.has_own_tests and not one.is_optional],
    ids=lambda program: program.slug,
)
def test_the_page_says_what_the_viewer_shows(
    program: Program,
    studies: list[StandardStudy],
    chromium: Browser,
    cells: dict[tuple[str, str], str],
) -> None:
    assert_page_says(survey(program, studies, chromium, MOST_SENT), cells)


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.parametrize(
    "program",
    [one for one in PROGRAMS if not one.has_own_tests],
    ids=lambda program: program.slug,
)
def test_the_page_says_what_the_viewer_shows_of_every_result(
    program: Program,
    studies: list[StandardStudy],
    chromium: Browser,
    cells: dict[tuple[str, str], str],
) -> None:
    assert_page_says(survey(program, studies, chromium), cells)


def assert_page_says(seen: Survey, cells: dict[tuple[str, str], str]) -> None:
    specs = list(dict.fromkeys(spec for spec, _ in seen.seen))
    if (seen.title, write_name(specs[0])) not in cells:
        pytest.skip(f"the page describes another version than {seen.title}: {AGAIN}")
    shown = {write_name(spec): seen.cell(spec) for spec in specs}
    assert shown == {row: cells[seen.title, row] for row in shown}, AGAIN


# ------------------------------------------------------------------------------ the measurements


def test_a_mask_is_shown_only_where_it_is() -> None:
    mask = making.disc((60, 80), 40, 30, 15)
    screen = np.kron(mask, np.ones((10, 10), dtype=bool))
    shifted = np.roll(screen, 50, axis=1)
    assert judge_mask(screen, mask).verdict is Verdict.SHOWN
    assert judge_mask(shifted, mask).verdict is Verdict.WRONG
    assert judge_mask(np.zeros_like(screen), mask).verdict is Verdict.NOT_SHOWN


def test_an_outline_is_shown_only_where_it_is() -> None:
    contour = ((20.0, 20.0), (60.0, 20.0), (60.0, 40.0), (20.0, 40.0))
    screen = np.zeros((600, 800), dtype=bool)
    screen[200:402, 200:602] = True
    screen[203:399, 203:599] = False
    half = screen.copy()
    half[:, 400:] = False
    assert judge_outlines(screen, [contour], (60, 80)).verdict is Verdict.SHOWN
    assert judge_outlines(half, [contour], (60, 80)).verdict is Verdict.WRONG
    nothing = np.zeros_like(screen)
    assert judge_outlines(nothing, [contour], (60, 80)).verdict is Verdict.NOT_SHOWN


def test_a_picture_is_shown_only_as_it_is() -> None:
    picture = making.color()
    screen = np.kron(picture, np.ones((5, 5, 1), dtype=np.uint8))
    assert judge_picture(screen, picture, Verdict.ALONE).verdict is Verdict.ALONE
    assert judge_picture(screen[::-1], picture, Verdict.ALONE).verdict is Verdict.WRONG
    assert judge_picture(0 * screen, picture, Verdict.ALONE).verdict is Verdict.NOT_SHOWN


@pytest.mark.parametrize(
    ("read", "verdict"),
    [([0, 1, 1], Verdict.READ), ([0, 255, 255], Verdict.READ), ([1, 1, 0], Verdict.WRONG)],
)
def test_a_mask_is_read_as_ones_or_as_white(read: Sequence[int], verdict: Verdict) -> None:
    assert judge_values(np.array(read), np.array([0, 1, 1])).verdict is verdict


@pytest.mark.peer
def test_what_the_command_writes_is_read_again(
    studies: list[StandardStudy], chromium: Browser
) -> None:
    (program,) = (one for one in PROGRAMS if one.name == "highdicom")
    seen = survey(program, studies, chromium)
    page = renew_page(PAGE.read_text(encoding="utf-8"), write_tables([Column.of(seen)]))
    assert read_cells(page) == {(seen.title, write_name(spec)): seen.cell(spec) for spec in SPECS}
