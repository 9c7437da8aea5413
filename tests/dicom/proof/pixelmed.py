"""PixelMed's validators of information objects and of report templates, in one Java process.

The process needs some seconds to read its rules, and then a tenth of one for a report.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.peers import find_program

_JARS = Path("/usr/share/java")  # where Debian puts them
_RULES_ARE_LONG = ("xpathTotalOpLimit", "xpathExprOpLimit", "xpathExprGrpLimit")

# What it says of objects that are right, and why: docs/conformance/validator-warnings.md.
_KNOWN = (
    # it knows no UTF-8, so it reads names without
    r"SpecificCharacterSet/value\[1\]: Unrecognized defined term :ISO_IR 192:",
    r"PatientName/value\[1\]/: Illegal character\(s\) '[^\x00-\x7f]+' in value of PN",
    # each segment's Anatomic Region Modifier says it; dciodvfy takes it here for an error
    r"GeneralSeriesModule/Laterality/: : Missing conditional attribute",
    # it is in the item of each frame, and so not in the shared one (PS3.3 C.7.6.16)
    r"DerivationImageSequence/: SharedFunctionalGroupsSequence/Item\[1\]/: Missing required",
    # PS3.3 C.8.20.2 asks for it where the image has it: one image has a ratio and no method
    r"SegmentationImageModule/LossyImageCompressionMethod/: : Missing conditional",
    # CID 100 is a baseline group, so others are allowed; it has no ultrasonography at all
    r'Code \(47079000,SCT,"Ultrasonography of breast"\) not found in context group 100$',
    # highdicom writes capitals; a meaning is not compared
    r'Code \(121233,DCM,"Source Image for Segmentation"\) has different code meaning',
    # a region without a measurement fits both; TID 1410 is the one with a region
    r"template ID encoded in first row container 1410 does not match expected template ID 1501 - may",
)
_ITEMS = (
    # rows that TID 1410 and 1501 have got since: the finding's category, and TID 4019
    r'CODE \(276214006,SCT,"Finding category"\)',
    r'TEXT \(\d+,DCM,"Algorithm (Name|Version|Manufacturer|Parameters)"\)',
    r'CODE \(111000,DCM,"Algorithm Family"\)',
    # our additions, which these templates allow: they are extensible
    r'CODE \(121073,DCM,"Impression"\)',
    r'CODE \(BUS-CLASS,99SONOGATE,"[^"]+"\)(/NUM \(122157,DCM,"Probability"\))?',
    r'UIDREF \(121151,DCM,"Lesion Identifier"\)',
    r'TEXT \(121106,DCM,"Comment"\)',
    r'SCOORD \(TextPosition,99CS3D,"[^"]+"\)(/IMAGE \(260753009,SCT,"Source"\))?',
    r'TEXT \(BUS-REFUSED,99SONOGATE,"[^"]+"\)/IMAGE \(260753009,SCT,"Source"\)',
)
_EXPECTED = re.compile(rf"{'|'.join(_KNOWN)}|/({'|'.join(_ITEMS)}): Content Item not in template$")
# Of a report with groups of TID 1410 and of TID 1501 it takes all for the former, and says so.
_TAKEN_FOR_1410 = re.compile(
    r": ([\d.]+): /[^:]+: template ID .* 1501 does not match .* 1410 - may"
)
_OF_SUCH_A_GROUP = (
    _TAKEN_FOR_1410,
    re.compile(r": within ([\d.]+): .*: Missing conditional content item$"),
    re.compile(r'^Warning: ([\d.]+)\.\d+: .*\(121112,DCM,"Source of Measurement"\): Content Item'),
    # TID 300 has coordinates in a group of TID 1501, TID 1419 in one of TID 1410 has not
    re.compile(
        r"^Warning: (\d+\.\d+\.\d+)\.\d+\.1(?:\.1)?: .*/NUM \([^)]+\)/SCOORD .*: Content Item"
    ),
)


class Validation(NamedTuple):
    recognized: list[str]
    """Its information object and, for a report or a selection, its root template."""
    complaints: list[str]
    """What is said of it beyond what is known above."""


class PixelMed:
    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions, self._answers = questions, answers

    def validate(self, path: Path) -> Validation:
        print(path, file=self._questions, flush=True)
        lines = list(iter(lambda: self._line(path), f"end of {path}"))
        said = [line for line in lines if line.startswith(("Error", "Warning"))]
        return Validation(
            [line.removeprefix("Found ") for line in lines if line.startswith("Found ")],
            list(_unexpected(said)),
        )

    def _line(self, path: Path) -> str:
        line = self._answers.readline()
        assert line, f"PixelMed ended at {path}"
        return line.rstrip("\n")


def _unexpected(lines: list[str]) -> Iterator[str]:
    groups = {match[1] for line in lines if (match := _TAKEN_FOR_1410.search(line))}
    for line in lines:
        matches = (pattern.search(line) for pattern in _OF_SUCH_A_GROUP)
        of_group = any(match and match[1] in groups for match in matches)
        if not of_group and not _EXPECTED.search(line):
            yield line


@contextmanager
def running() -> Iterator[PixelMed]:
    java = find_program("java")
    jars = [find_program(name, str(_JARS / name)) for name in ("pixelmed.jar", "bsh.jar")]
    limits = [f"-Djdk.xml.{name}=0" for name in _RULES_ARE_LONG]
    script = str(Path(__file__).with_suffix(".bsh"))
    command = [java, "-XX:+UseSerialGC", *limits, "-cp", ":".join(jars), "bsh.Interpreter", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield PixelMed(process.stdin, process.stdout)
