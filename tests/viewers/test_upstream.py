"""The faults of viewers that docs/upstream reports are still there, and the proposed patches mend them.

Each first test is a guard: when it fails, a new version of the viewer has mended the fault, and its
message says what Sonogate, its docs or its defaults no longer need. Patches are applied to copies.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import highdicom
import pydicom
import pytest
from playwright.sync_api import Browser, Route
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from sonogate.demo.ohif import DISTRIBUTION
from tests.peers import Orthanc, find_program
from tests.viewers.ohif import Ohif, intersection_over_union, open_ohif

pytestmark = pytest.mark.peer

UPSTREAM = Path(__file__).parents[2] / "docs" / "upstream"
MODULES = Path(__file__).parent / "node_modules"
DRAWN = "document.querySelectorAll('svg.svg-layer path, svg.svg-layer polyline').length"
VIEWPORT = "cornerstone.getRenderingEngines()[0].getViewports()[0]"

DCMJS = "dcmjs-bit-packed-frames"
PACKED = "adapters-bit-packed-frames"
ORIENTATION = "adapters-seg-without-orientation"
BACKGROUND = "ohif-label-map-background"
PACKAGES = {
    DCMJS: "dcmjs",
    PACKED: "@cornerstonejs/adapters",
    ORIENTATION: "@cornerstonejs/adapters",
    BACKGROUND: "@cornerstonejs/adapters",
}
FAULTS = {
    DCMJS: [
        "three frames of 25 pixels",
        "two frames of 25 pixels, a padding byte",
        "three frames of 8 pixels, a padding byte",
        "three frames of 9 bytes, a padding byte",
    ],
    PACKED: [
        "read two frames of 25 pixels, a padding byte",
        "read four frames of 9 pixels, a padding byte",
        "read two frames of 15 pixels",
        "write three frames of 25 pixels",
    ],
    ORIENTATION: ["without Plane Orientation", "with an empty Shared Functional Groups item"],
}
MENDED = {
    DCMJS: "once OHIF ships this dcmjs, bit-packed segmentations may be the default for any image size",
    PACKED: "tests of the adapters need not leave out segmentations with a padding byte",
    ORIENTATION: "once OHIF ships these adapters, segmentations need no orientation for viewers",
}

DCMJS_MAIN = """
import { AsyncDicomReader } from './src/AsyncDicomReader.js';
import { DicomDict } from './src/DicomDict.js';
import { DicomMessage } from './src/DicomMessage.js';
import { Tag } from './src/Tag.js';
import { ValueRepresentation } from './src/ValueRepresentation.js';
for (const one of [DicomDict, ValueRepresentation, Tag]) one.setDicomMessageClass(DicomMessage);
ValueRepresentation.setTagClass(Tag);
export default { async: { AsyncDicomReader }, data: { DicomDict } };
"""
"""As much of dcmjs' src/index.js as the case needs; the source map has no files that only export."""


# ------------------------------------------------------------------------------ in Node.js


def install(folder: Path, name: str, *, patched: bool = False) -> None:
    """Put a case beside the packages that it imports; one of them patched, the others as they are."""
    package = PACKAGES[name]
    modules = folder / "node_modules"
    scope = modules / "@cornerstonejs"
    scope.mkdir(parents=True)
    for installed in [*MODULES.iterdir(), *(MODULES / "@cornerstonejs").iterdir()]:
        beside = modules / installed.relative_to(MODULES)
        if not beside.exists():
            beside.symlink_to(installed)
    if patched:
        (modules / package).unlink()
        shutil.copytree(MODULES / package, modules / package)
        apply(UPSTREAM / name / "published.patch", modules / package)
    shutil.copy(UPSTREAM / name / "case.mjs", folder)


def apply(patch: Path, folder: Path, *name: str) -> None:
    """Apply a patch to the files that it names, or its part for a script to the script of a name."""
    text = patch.read_text()
    if name and f"+++ b/dist/{name[0]}" in text:
        parts = re.split(r"^(?=--- )", text, flags=re.MULTILINE)
        text = next(part for part in parts if f"+++ b/dist/{name[0]}" in part)
    run = subprocess.run(
        [find_program("patch"), "--strip=1", "--forward", *name],
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{patch.name} does not apply: {run.stdout}"


def wrong_cases(folder: Path) -> list[str]:
    """Run a case and return which of its lines are not as expected."""
    run = subprocess.run(
        [find_program("node"), "case.mjs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert lines, run.stderr
    wrong = [line.get("case") or line["file"] for line in lines if not line["correct"]]
    assert run.returncode == bool(wrong)
    return wrong


@pytest.fixture(autouse=True)
def installed() -> None:
    if not MODULES.is_dir():
        pytest.skip("the viewers' readers are not installed: `npm ci` in tests/viewers")


@pytest.mark.parametrize("name", FAULTS)
def test_the_installed_readers_still_have_the_fault(name: str, tmp_path: Path) -> None:
    install(tmp_path, name)
    version = json.loads((MODULES / PACKAGES[name] / "package.json").read_text())["version"]
    assert wrong_cases(tmp_path) == FAULTS[name], (
        f"{PACKAGES[name]} {version} mends cases of docs/upstream/{name}: {MENDED[name]}; "
        "update its README and FAULTS here"
    )


@pytest.mark.parametrize("name", FAULTS)
def test_the_proposed_patch_mends_it(name: str, tmp_path: Path) -> None:
    install(tmp_path, name, patched=True)
    assert not wrong_cases(tmp_path)


@pytest.mark.parametrize("patched", [False, True])
def test_the_patch_for_the_source_of_dcmjs_mends_it_too(tmp_path: Path, patched: bool) -> None:
    """The source is taken from the source map of the published package, and run as it is."""
    install(tmp_path, DCMJS)
    package = tmp_path / "node_modules" / "dcmjs"
    source_map = json.loads((package / "build" / "dcmjs.es.js.map").read_text())
    package.unlink()
    for name, text in zip(source_map["sources"], source_map["sourcesContent"], strict=True):
        if name.startswith("../src/"):
            path = package / name.removeprefix("../")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if patched:
        apply(UPSTREAM / DCMJS / "source.patch", package)
    for path in package.glob("src/**/*.js"):
        path.write_text(name_imported_files(path))
    (package / "package.json").write_text('{"type": "module", "exports": "./main.js"}')
    (package / "main.js").write_text(DCMJS_MAIN)
    assert wrong_cases(tmp_path) == ([] if patched else FAULTS[DCMJS])


def name_imported_files(module: Path) -> str:
    """Return a module with the endings of the files that it imports, which Node.js asks for."""

    def name_file(match: re.Match[str]) -> str:
        path = match["path"]
        endings = ("", ".js", "/index.js")
        found = (path + end for end in endings if (module.parent / (path + end)).is_file())
        return f'from "{next(found, path)}"'

    return re.sub(r'from "(?P<path>\.[^"]*)"', name_file, module.read_text())


def test_the_adapters_number_segments_of_label_maps_rightly_but_ohif_does_not_yet(
    tmp_path: Path,
) -> None:
    install(tmp_path, BACKGROUND)
    assert not wrong_cases(tmp_path)
    if not DISTRIBUTION.is_dir():
        pytest.skip("the OHIF viewer is not installed: run deploy/install-ohif.sh")
    faulty = "data = [undefined, ...segmentSequence]"
    assert any(faulty in script.read_text() for script in DISTRIBUTION.glob("*.bundle.*.js")), (
        "OHIF numbers segments of label maps rightly: they may have a background in OHIF; "
        f"see docs/upstream/{BACKGROUND}"
    )


# ------------------------------------------------------------------------------ in OHIF


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Callable[[str], Path]:
    """Return the folder with the studies of a case, which are in the PACS."""

    @cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        run = subprocess.run(
            [sys.executable, "-W", "ignore", UPSTREAM / name / "case.py", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        pacs.store(*sorted(folder.glob("*/*.dcm")))
        return folder

    return write


@pytest.fixture(scope="module")
def window(chromium: Browser, ohif_address: str) -> Iterator[Ohif]:
    """One window for OHIF as it is: it need not fetch the viewer again."""
    with open_ohif(chromium, ohif_address) as opened:
        yield opened


def patch_page(ohif: Ohif, folder: Path, *patches: Path) -> None:
    """Serve the files of the viewer that the patches name as patched copies.

    A patch for a package of its own is tried on the scripts that contain that package.
    """
    copies = folder / "dist"
    copies.mkdir()
    names: set[str] = set()
    for patch in patches:
        for name in patched_scripts(patch):
            if name not in names:
                shutil.copy(DISTRIBUTION / name, copies)
            names.add(name)
            apply(patch, copies, name)

    def answer(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[-1]
        route.fulfill(path=copies / name, content_type="text/javascript")

    for name in names:
        ohif.page.route(f"**/{name}", answer)


def patched_scripts(patch: Path) -> set[str]:
    names = set(re.findall(r"^\+\+\+ b/dist/(\S+\.bundle\.\S+)", patch.read_text(), re.MULTILINE))
    missing = {name for name in names if not (DISTRIBUTION / name).exists()}
    assert not missing, f"OHIF has no {missing}: see whether docs/upstream is out of date"
    return names or {
        script.name
        for script in DISTRIBUTION.glob("*.bundle.*.js")
        if 'key: "readUncompressedBitFrame"' in script.read_text()
    }


def open_case(ohif: Ohif, folder: Path, description: str) -> None:
    """Open the study of a case, and load the series of this description."""
    ohif.errors.clear()
    ohif.open_study(str(pydicom.dcmread(folder / "image.dcm").StudyInstanceUID))
    line = ohif.page.locator('[data-cy^="study-browser-thumbnail"]').filter(has_text=description)
    line.dblclick()


def goes_black(ohif: Ohif) -> bool:
    """Wait until the viewer says that something went wrong; whether it then shows no image."""
    try:
        ohif.page.get_by_text("Something went wrong").first.wait_for(timeout=20_000)
    except PlaywrightTimeout:
        return False
    return ohif.page.locator(".cornerstone-canvas").count() == 0


@pytest.mark.parametrize(
    "patch",
    [
        *UPSTREAM.glob("ohif-*/*.patch"),
        *UPSTREAM.glob("*/ohif.patch"),
        UPSTREAM / DCMJS / "published.patch",
    ],
    ids=lambda patch: f"{patch.parent.name}-{patch.stem}",
)
def test_the_patches_for_ohif_still_apply(patch: Path, tmp_path: Path) -> None:
    """That they mend the cases is tested by the long tests below."""
    if not DISTRIBUTION.is_dir():
        pytest.skip("the OHIF viewer is not installed: run deploy/install-ohif.sh")
    for name in patched_scripts(patch):
        shutil.copy(DISTRIBUTION / name, tmp_path)
        apply(patch, tmp_path, name)


SEG = "ohif-seg-without-pixel-measures"
SR = "ohif-sr-contours"


@pytest.mark.parametrize("groups", ["empty", "orientation"])
def test_a_segmentation_without_pixel_measures_still_crashes_the_page(
    window: Ohif, studies: Callable[[str], Path], groups: str
) -> None:
    open_case(window, studies(SEG) / groups, "Segmentation")
    assert goes_black(window), (
        "OHIF no longer needs Pixel Measures: segmentations may leave them out; "
        f"see docs/upstream/{SEG}"
    )
    assert any("_getReferencedDisplaySetMetadata" in error for error in window.errors)


@pytest.mark.long
def test_with_the_patch_it_is_loaded(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patch_page(ohif, tmp_path, UPSTREAM / SEG / "published.patch")
    open_case(ohif, studies(SEG) / "orientation", "Segmentation")
    ohif.page.wait_for_function(
        "cornerstoneTools.segmentation.state.getSegmentations().length === 1"
    )
    assert not ohif.errors


@pytest.mark.long
@pytest.mark.parametrize("groups", ["empty", "measures"])
def test_with_two_patches_a_segmentation_without_orientation_is_loaded(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path, groups: str
) -> None:
    patch_page(
        ohif, tmp_path, UPSTREAM / SEG / "published.patch", UPSTREAM / ORIENTATION / "ohif.patch"
    )
    open_case(ohif, studies(SEG) / groups, "Segmentation")
    ohif.page.wait_for_function(
        "cornerstoneTools.segmentation.state.getSegmentations().length === 1"
    )
    assert not ohif.errors


def test_bit_packed_frames_of_an_odd_size_are_still_drawn_beside_their_place(
    window: Ohif, studies: Callable[[str], Path]
) -> None:
    first, *others = agreement(window, studies(SEG) / "odd-size")
    assert first >= 0.97
    assert max(others) < 0.9, f"OHIF reads bit-packed frames rightly: {MENDED[DCMJS]}"


@pytest.mark.long
def test_with_the_patch_for_dcmjs_they_are_drawn_in_place(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patch_page(ohif, tmp_path, UPSTREAM / DCMJS / "published.patch")
    assert min(agreement(ohif, studies(SEG) / "odd-size")) >= 0.97


def agreement(ohif: Ohif, folder: Path) -> list[float]:
    """Open a segmentation and return how well each frame is drawn (intersection over union)."""
    masks = pydicom.dcmread(folder / "segmentation.dcm").pixel_array.astype(bool)
    open_case(ohif, folder, "Segmentation")
    ohif.hydrate()
    found = []
    for number, mask in enumerate(masks, start=1):
        ohif.show_frame(number)
        found.append(intersection_over_union(ohif.drawn_mask(mask.shape), mask))
    return found


def test_a_group_without_coordinates_still_keeps_a_report_from_being_shown(
    window: Ohif, studies: Callable[[str], Path]
) -> None:
    open_case(window, studies(SR) / "group-without-scoord", "Report")
    assert goes_black(window), (
        "OHIF shows reports with groups without SCOORD: the image's class may be a group again; "
        f"see docs/upstream/{SR}"
    )


@pytest.mark.long
def test_with_the_patches_its_outline_is_drawn(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patches = ("group-without-scoord.patch", "late-contour.patch")
    patch_page(ohif, tmp_path, *(UPSTREAM / SR / name for name in patches))
    open_case(ohif, studies(SR) / "group-without-scoord", "Report")
    ohif.page.wait_for_function(f"{DRAWN} > 0")


def test_an_outline_is_still_not_drawn_when_its_identifier_comes_late(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    """What happens now and then happens every time when the identifiers come 1.5 s late."""
    patch_page(ohif, tmp_path, UPSTREAM / SR / "late-contour-delay.patch")
    open_case(ohif, studies(SR) / "one-group", "Report")
    ohif.page.locator('[data-cy="yes-hydrate-btn"]').or_(
        ohif.page.locator(".cornerstone-canvas")
    ).first.wait_for()
    ohif.page.wait_for_timeout(4000)
    assert ohif.page.evaluate(DRAWN) == 0, (
        "OHIF draws outlines that come late: the tests' page object need not move the pointer; "
        f"see docs/upstream/{SR}"
    )
    ohif.page.evaluate(f"{VIEWPORT}.render()")
    ohif.page.wait_for_function(f"{DRAWN} > 0")


@pytest.mark.long
def test_with_the_patch_it_is_drawn(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patches = ("late-contour-delay.patch", "late-contour.patch")
    patch_page(ohif, tmp_path, *(UPSTREAM / SR / name for name in patches))
    open_case(ohif, studies(SR) / "one-group", "Report")
    ohif.page.wait_for_function(f"{DRAWN} > 0")


def test_groups_of_one_tracking_uid_are_still_drawn_on_the_first_frame_only(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patch_page(ohif, tmp_path, UPSTREAM / SR / "late-contour.patch")
    open_case(ohif, studies(SR) / "two-frames", "Report")
    ohif.page.wait_for_function(f"{DRAWN} > 0")
    assert [one.frame for one in ohif.annotations()] == [1], (
        "OHIF keeps groups of one tracking UID apart: a lesion may have one UID on all frames; "
        f"see docs/upstream/{SR}"
    )


AREA = "tools-area-in-ultrasound-region"


def texts_of_the_square(ohif: Ohif, folder: Path) -> list[str]:
    """Return what is written beside the square of 16 mm², for both images."""
    found = []
    for name in ("region", "region-and-spacing"):
        open_case(ohif, folder / name, "Report")
        ohif.hydrate()
        ohif.drawn_contours()
        (text,) = ohif.page.locator("svg.svg-layer text").all_text_contents()
        found.append(text)
    return found


def test_the_area_in_an_ultrasound_region_is_still_wrong(
    window: Ohif, studies: Callable[[str], Path]
) -> None:
    texts = texts_of_the_square(window, studies(AREA))
    for text, area in zip(texts, ("1600", "16.0"), strict=True):
        assert f"Area: {area} cm² US Region" in text, (
            f"OHIF writes {text!r}: the warnings in the conformance statement and README.md can go; "
            f"see docs/upstream/{AREA}"
        )


@pytest.mark.long
def test_with_the_patch_it_is_right(
    ohif: Ohif, studies: Callable[[str], Path], tmp_path: Path
) -> None:
    patch_page(ohif, tmp_path, UPSTREAM / AREA / "ohif.patch")
    for text in texts_of_the_square(ohif, studies(AREA)):
        assert "Area: 0.160 cm² US Region" in text
        assert "Perimeter: 1.60 cm US Region" in text


# ------------------------------------------------------------------------------ in Python


HIGHDICOM = "highdicom-pixel-measures"


def ends_of_cases(name: str, folder: Path, **environment: str) -> dict[str, str]:
    """Run a case and return what it says of each of its files."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", UPSTREAM / name / "case.py", folder / "cases"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert lines, run.stderr
    return {line["case"]: line.get("seen") or line["ended"] for line in lines}


def test_highdicom_still_refuses_pixel_measures_without_spacing(tmp_path: Path) -> None:
    seen = ends_of_cases(HIGHDICOM, tmp_path)
    assert seen.pop("Pixel Spacing and Slice Thickness") == "right"
    assert all(text.startswith("AttributeError: ") for text in seen.values()), (
        "highdicom reads segmentations of images that are not calibrated; see decision 5 and "
        f"docs/upstream/{HIGHDICOM}"
    )


def test_with_the_patch_highdicom_reads_them(tmp_path: Path) -> None:
    shutil.copytree(Path(highdicom.__file__).parent, tmp_path / "highdicom")
    apply(UPSTREAM / HIGHDICOM / "published.patch", tmp_path)
    seen = ends_of_cases(HIGHDICOM, tmp_path, PYTHONPATH=str(tmp_path))
    assert set(seen.values()) == {"right"}


def test_dcmqi_still_crashes_without_a_position(tmp_path: Path) -> None:
    if importlib.util.find_spec("dcmqi") is None:
        pytest.skip("dcmqi is not installed: `make setup` installs it")
    name = "dcmqi-without-plane-position"
    assert ends_of_cases(name, tmp_path) == {
        "with orientation and position": "read",
        "with orientation, without position": "segmentation fault",
        "without both": "error",
    }, f"dcmqi ends in another way; see decision 5 and docs/upstream/{name}"


# ------------------------------------------------------------------------------ Orthanc


def test_orthanc_still_drops_an_empty_item(pacs: Orthanc) -> None:
    case = UPSTREAM / "orthanc-empty-item" / "case.py"
    run = subprocess.run(
        [sys.executable, case, pacs.url], capture_output=True, text=True, check=False, timeout=60
    )
    answer = json.loads(run.stdout)
    assert answer["expected"] == {"vr": "SQ", "Value": [{}]}
    assert answer["seen"] is None, (
        f"Orthanc {answer['orthanc']} keeps empty items; see docs/upstream/orthanc-empty-item"
    )
