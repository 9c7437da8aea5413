"""Shows every result to every viewer, and writes what was seen into docs/conformance/viewers.md.

    python -m tests.viewers.survey                  # renew the page and its pictures
    python -m tests.viewers.survey --only dwv       # renew what the page says of one viewer

Each verdict is measured: the pixels of the screen against the masks, outlines and pictures that the
objects were made of, or the values that a library reads against those that were written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import pytest
from PIL import Image, ImageDraw, ImageOps
from playwright.sync_api import Browser

from dicom.results.catalogue import CATALOGUE, parse_spec
from tests.browser import chromium
from tests.viewers import dwv, ohif_survey, orthanc_pages, other_environment, readers
from tests.viewers.programs import Program, Workplace
from tests.viewers.seen import Picture, Seen
from tests.viewers.standard_studies import (
    SPECS,
    StandardStudy,
    applies,
    make_standard_studies,
)

TOP: Final = Path(__file__).parents[2]
PAGE: Final = TOP / "docs" / "conformance" / "viewers.md"
PICTURES: Final = TOP / "docs" / "images" / "viewers"
BEGIN: Final = "<!-- begin of what `python -m tests.viewers.survey` writes -->"
END: Final = "<!-- end of what `python -m tests.viewers.survey` writes -->"
PROGRAMS: Final = (
    Program(
        "OHIF",
        "web viewer on Cornerstone3D, with Orthanc behind it",
        ohif_survey.start,
        has_own_tests=True,
    ),
    Program("dwv", "web viewer with readers of its own", dwv.start),
    Program(
        "Orthanc Web Viewer", "Orthanc's plugin, on Cornerstone", orthanc_pages.start_web_viewer
    ),
    Program(
        "Orthanc Explorer",
        "Orthanc's own page: “Preview the instance”",
        orthanc_pages.start_explorer,
    ),
    Program("highdicom", "Python library", readers.start_highdicom, is_viewer=False),
    Program(
        "dcmqi",
        "converters that 3D Slicer's Quantitative Reporting uses",
        readers.start_dcmqi,
        is_viewer=False,
    ),
    Program("DCMTK", "`dcmj2pnm`, `dsr2html`, `dcm2pdf`", readers.start_dcmtk, is_viewer=False),
    Program("dcm2niix", "converter to NIfTI", readers.start_dcm2niix, is_viewer=False),
    Program(
        "dcmjs-imaging",
        "renderer for Node.js and browsers, on dcmjs",
        readers.start_dcmjs_imaging,
        is_viewer=False,
    ),
    Program(
        "SimpleITK",
        "ITK with GDCM, which 3D Slicer loads images with",
        other_environment.start_simpleitk,
        is_viewer=False,
        is_optional=True,
    ),
    Program(
        "pydicom-seg",
        "Python library for segmentations",
        other_environment.start_pydicom_seg,
        is_viewer=False,
        is_optional=True,
    ),
    Program(
        "itk-wasm",
        "dcmqi and DCMTK in WebAssembly, as VolView uses them",
        other_environment.start_itk_wasm,
        is_viewer=False,
        is_optional=True,
    ),
)
_TILE: Final = (240, 180)
_TILES_IN_A_ROW: Final = 4
_CAPTION_PX: Final = 16
_NONE: Final = "–"


@dataclass(frozen=True)
class Survey:
    """What one viewer showed of each object, by spec and study."""

    program: Program
    version: str
    seen: Mapping[tuple[str, str], Seen]

    @property
    def title(self) -> str:
        return f"{self.program.name} {self.version}"

    def cell(self, spec: str) -> str:
        """Return a cell of the table: one verdict, or one for each study."""
        verdicts = {study: seen.verdict for (of, study), seen in self.seen.items() if of == spec}
        if len(set(verdicts.values())) == 1:
            return str(next(iter(verdicts.values())))
        return ", ".join(f"{study}: {verdict}" for study, verdict in verdicts.items()) or _NONE


def survey(
    program: Program,
    studies: Sequence[StandardStudy],
    browser: Browser,
    specs: Iterable[str] = SPECS,
) -> Survey:
    """Show the objects of all studies to one viewer. Skips with a reason if it is absent."""
    with TemporaryDirectory(prefix="sonogate-viewer-") as folder:
        workplace = Workplace(Path(folder), list(studies), browser)
        with program.start(workplace) as started:
            seen = {
                (spec, study.name): started.show(study, spec)
                for spec in specs
                for study in studies
                if applies(spec, study)
            }
    return Survey(program, started.version, seen)


# ------------------------------------------------------------------------------ the page


@dataclass(frozen=True)
class Column:
    """What the page says of one viewer."""

    program: Program
    title: str
    """Its name and version."""
    cells: Mapping[str, str]
    """By the name of the result."""
    section: str

    @classmethod
    def of(cls, one: Survey) -> "Column":
        cells = {write_name(spec): one.cell(spec) for spec in SPECS}
        return cls(one.program, one.title, cells, _write_section(one))


def read_columns(page: str) -> dict[str, Column]:
    """Return what the page says, by the name of the viewer."""
    cells = read_cells(page)
    columns = {}
    for section in page.partition(BEGIN)[2].partition(END)[0].split("### ")[1:]:
        title = section.partition("\n")[0]
        own = {row: cell for (of, row), cell in cells.items() if of == title}
        for program in PROGRAMS:
            if program.name == title.rsplit(" ", 1)[0]:
                columns[program.name] = Column(program, title, own, f"### {section.strip()}")
    return columns


def write_tables(columns: Sequence[Column]) -> str:
    """Return what stands between the markers of the page."""
    viewers = [one for one in columns if one.program.is_viewer]
    libraries = [one for one in columns if not one.program.is_viewer]
    sections = [
        "## Viewers",
        _write_table(viewers),
        "## Readers without a display",
        _write_table(libraries),
        *(one.section for one in columns),
    ]
    return "\n\n".join(sections)


def _write_table(columns: Sequence[Column]) -> str:
    names = [write_name(spec) for spec in SPECS]
    rows = [["result", *(one.title for one in columns)], ["---"] * (len(columns) + 1)]
    rows += [[name, *(one.cells.get(name, _NONE) for one in columns)] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_name(spec: str) -> str:
    """Return how the table names a result: always with its variant."""
    parsed = parse_spec(spec)
    default = CATALOGUE[parsed.kind.name].variants[0] == parsed.variant
    several = len(parsed.kind.variants) > 1
    return f"`{parsed.explicit_text}`" + (" (default)" if default and several else "")


def _write_section(one: Survey) -> str:
    lines = [f"### {one.title}", "", f"{one.program.about[0].upper()}{one.program.about[1:]}."]
    if one.program.is_viewer:
        lines += ["", f"![{one.title}](../images/viewers/{one.program.slug}.jpg)"]
    rows: dict[tuple[str, str], list[str]] = {}
    for (spec, study), seen in one.seen.items():
        detail = f"{seen.verdict}: {seen.detail}" if seen.detail else str(seen.verdict)
        rows.setdefault((detail, study), []).append(f"`{parse_spec(spec).explicit_text}`")
    merged: dict[tuple[str, str], list[str]] = {}
    for (detail, study), specs in rows.items():
        merged.setdefault((detail, ", ".join(specs)), []).append(study)
    lines += ["", "| objects | of | what is seen |", "|---|---|---|"]
    lines += [
        f"| {specs} | {', '.join(studies)} | {detail} |"
        for (detail, specs), studies in merged.items()
    ]
    return "\n".join(lines)


def draw_pictures(one: Survey) -> bytes:
    """Return a JPEG with what the viewer showed of the default variant of each kind."""
    tiles: list[tuple[str, Picture]] = []
    for kind in CATALOGUE.values():
        shown = ((seen, study) for (spec, study), seen in one.seen.items() if spec == kind.name)
        seen, study = next(shown)
        if seen.picture is not None:
            tiles.append((f"{kind.name}, {study}: {seen.verdict}", seen.picture))
    width, height = _TILE[0], _TILE[1] + _CAPTION_PX
    rows = -(-len(tiles) // _TILES_IN_A_ROW)
    sheet = Image.new("RGB", (_TILES_IN_A_ROW * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (caption, picture) in enumerate(tiles):
        left, top = number % _TILES_IN_A_ROW * width, number // _TILES_IN_A_ROW * height
        pen.text((left + 2, top + 2), caption, fill="black")
        sheet.paste(ImageOps.pad(Image.fromarray(picture), _TILE), (left, top + _CAPTION_PX))
    stream = BytesIO()
    sheet.save(stream, "JPEG", quality=70, optimize=True)
    return stream.getvalue()


def renew_page(text: str, tables: str) -> str:
    """Return the page with other tables between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def read_cells(text: str) -> dict[tuple[str, str], str]:
    """Return the cells of the page's tables by viewer, with its version, and row."""
    cells: dict[tuple[str, str], str] = {}
    titles: list[str] = []
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        row = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if row[0] == "result":
            titles = row[1:]
        elif line.startswith("#"):
            titles = []
        elif line.startswith("| `") and titles:
            cells.update(
                {(title, row[0]): cell for title, cell in zip(titles, row[1:], strict=True)}
            )
    return cells


@click.command()
@click.option(
    "--only", multiple=True, metavar="NAME", help="Renew only what the page says of this viewer."
)
def main(only: tuple[str, ...]) -> None:
    """Show every result to every viewer, and write docs/conformance/viewers.md."""
    names = {name.lower() for name in only}
    unknown = names - {program.name.lower() for program in PROGRAMS}
    if unknown:
        raise click.UsageError(f"there is no viewer {', '.join(sorted(unknown))}")
    asked = [program for program in PROGRAMS if not names or program.name.lower() in names]
    with TemporaryDirectory(prefix="sonogate-survey-") as folder, chromium() as browser:
        studies = make_standard_studies(Path(folder))
        for program in asked:
            click.echo(f"{program.name} ...", err=True)
            try:
                _renew(survey(program, studies, browser))
            except pytest.skip.Exception as reason:
                click.echo(
                    f"{program.name} is absent, the page keeps what it says: {reason}", err=True
                )


def _renew(one: Survey) -> None:
    page = PAGE.read_text(encoding="utf-8")
    columns = read_columns(page) | {one.program.name: Column.of(one)}
    order = [program.name for program in PROGRAMS if program.name in columns]
    page = renew_page(page, write_tables([columns[name] for name in order]))
    PAGE.write_text(page, encoding="utf-8")
    if one.program.is_viewer:
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{one.program.slug}.jpg").write_bytes(draw_pictures(one))


if __name__ == "__main__":
    main()
