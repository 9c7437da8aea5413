"""Programs and libraries without a display. They answer in numbers, texts or files."""

import base64
import gzip
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from dicom.results.catalogue import parse_spec
from dicom.results.result_kind import ResultRole
from dicom.results.sr.verify import read_back_report
from tests.peers import find_program
from tests.viewers.programs import HERE, Started, Workplace
from tests.viewers.seen import (
    Picture,
    Seen,
    Verdict,
    first_sentence,
    judge_picture,
    judge_values,
)
from tests.viewers.standard_studies import (
    StandardStudy,
    read_frames,
    read_modality,
    segmented_frames,
)

_AREA = "42798000"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


# ------------------------------------------------------------------------------ dcmjs-imaging


@contextmanager
def start_dcmjs_imaging(_: Workplace) -> Iterator[Started]:
    package = HERE / "node_modules" / "dcmjs-imaging" / "package.json"
    if not package.exists():
        pytest.skip("dcmjs-imaging is not installed: `npm ci` in tests/viewers")
    node = find_program("node")
    yield Started(json.loads(package.read_text())["version"], partial(_render, node))


def _render(node: str, study: StandardStudy, spec: str) -> Seen:
    path = study.files[spec]
    rendered = subprocess.run(
        [node, HERE / "render_images.mjs"],
        input=json.dumps([str(path)]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (answer,) = json.loads(rendered.stdout)
    if "error" in answer:
        return Seen(Verdict.NOT_READ, first_sentence(answer["error"]))
    shape = answer["height"], answer["width"], 3
    frames = [
        np.frombuffer(base64.b64decode(frame), np.uint8).reshape(shape)
        for frame in answer["frames"]
    ]
    return _judge_pictures(frames, read_frames(path))


def _judge_pictures(shown: Sequence[Picture], expected: NDArray[np.generic]) -> Seen:
    """Return the worst judgment of all frames."""
    if len(shown) != len(expected):
        return Seen(Verdict.WRONG, f"{len(shown)} of {len(expected)} frames")
    seen = [
        judge_picture(one, wanted, Verdict.READ)
        for one, wanted in zip(shown, expected, strict=True)
    ]
    return next((one for one in seen if one.verdict is not Verdict.READ), Seen(Verdict.READ))


# ------------------------------------------------------------------------------ DCMTK


@contextmanager
def start_dcmtk(workplace: Workplace) -> Iterator[Started]:
    for program in ("dcmj2pnm", "dsr2html", "dcm2pdf"):
        find_program(program)
    (version,) = re.findall(r"v(\d+\.\d+\.\d+)", run("dcmj2pnm", "--version").stdout)[:1]
    yield Started(version, partial(_convert_with_dcmtk, workplace.folder))


def _convert_with_dcmtk(folder: Path, study: StandardStudy, spec: str) -> Seen:
    path, out = study.files[spec], folder / "out"
    match read_modality(path):
        case "SR" | "KO":
            answer = run("dsr2html", path, out)
            if answer.returncode:
                return Seen(Verdict.NOT_READ, _complaint(answer.stderr))
            return judge_text(out.read_text(encoding="utf-8"), study, spec)
        case "DOC":
            answer = run("dcm2pdf", path, out)
            if answer.returncode:
                return Seen(Verdict.NOT_READ, _complaint(answer.stderr))
            document = pydicom.dcmread(path).EncapsulatedDocument
            same = out.read_bytes().rstrip(b"\0") == document.rstrip(b"\0")
            return Seen(Verdict.READ if same else Verdict.WRONG)
    frames = _empty(folder / "frames")
    answer = run("dcmj2pnm", "--write-png", "--all-frames", path, frames / "frame")
    written = sorted(frames.iterdir(), key=lambda one: int(one.stem.split(".")[-1]))
    if answer.returncode or not written:
        return Seen(Verdict.NOT_READ, _complaint(answer.stderr))
    pictures = [np.asarray(Image.open(one).convert("RGB")) for one in written]
    return _judge_pictures(pictures, read_frames(path))


def judge_text(text: str, study: StandardStudy, spec: str) -> Seen:
    """Judge whether a report, or the list of key images, can be read from a text."""
    image = study.image
    if parse_spec(spec).role is ResultRole.REPORT:
        lesions = read_back_report(study.files[spec]).lesions
        wanted = {"class": image.label}
        wanted |= {lesion.tracking_id: lesion.tracking_id for lesion in image.lesions}
        wanted |= {
            f"area of {lesion.tracking_id}": f"{lesion.measurements[_AREA][0]:g}"
            for lesion in lesions
            if _AREA in lesion.measurements
        }
    else:
        wanted = {"UID of the image": image.sop_instance_uid}
    missing = [name for name, value in wanted.items() if value.lower() not in text.lower()]
    if missing:
        return Seen(Verdict.WRONG, f"without the {', '.join(missing)}")
    return Seen(Verdict.TEXT)


def _complaint(text: str) -> str:
    lines = [re.sub(r"^[EF]: ", "", line) for line in text.splitlines() if re.match("[EF]: ", line)]
    return first_sentence(lines[0] if lines else text.strip().splitlines()[-1])


# ------------------------------------------------------------------------------ dcm2niix


@contextmanager
def start_dcm2niix(workplace: Workplace) -> Iterator[Started]:
    program = find_program("dcm2niix", *_in_wheel("dcm2niix", "dcm2niix"))
    (version,) = re.findall(r"v(\d+\.\d+\.\d+)", run(program, "-v").stdout)[:1]
    yield Started(version, partial(_convert_to_nifti, program, workplace.folder))


def _convert_to_nifti(program: str, folder: Path, study: StandardStudy, spec: str) -> Seen:
    path = study.files[spec]
    inputs, out = _empty(folder / "inputs"), _empty(folder / "out")
    shutil.copy(path, inputs)
    answer = run(program, "-z", "n", "-f", "out", "-o", out, inputs)
    made = sorted(out.glob("*.nii"))
    if not made:
        return Seen(Verdict.NOT_READ, first_sentence(answer.stdout.strip().splitlines()[-1]))
    values = np.concatenate([_read_nifti(one) for one in made])
    values = values[:, ::-1]  # NIfTI counts rows from below
    if pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        return _judge_pictures(list(values), read_frames(path))  # decoders differ a little
    return judge_values(values, read_frames(path))


def _read_nifti(path: Path) -> NDArray[np.generic]:
    """Read a NIfTI-1 file as (frames, rows, columns), with 3 colors or without."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    columns, rows = np.frombuffer(data, "<i2", 2, offset=42)
    (datatype,) = np.frombuffer(data, "<i2", 1, offset=70)
    (start,) = np.frombuffer(data, "<f4", 1, offset=108)
    types = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 128: "u1", 512: "<u2"}
    colors = (3,) if datatype == 128 else ()
    values: NDArray[np.generic] = np.frombuffer(data, types[int(datatype)], offset=int(start))
    return values.reshape(-1, rows, columns, *colors)


# ------------------------------------------------------------------------------ dcmqi


@contextmanager
def start_dcmqi(workplace: Workplace) -> Iterator[Started]:
    programs = {
        name: find_program(name, *_in_wheel("dcmqi", f"bin/{name}"))
        for name in ("segimage2itkimage", "tid1500reader", "paramap2itkimage")
    }
    (version,) = re.findall(r"(\d+\.\d+\.\d+)", importlib.metadata.version("dcmqi"))
    yield Started(version, partial(_read_with_dcmqi, programs, workplace.folder))


def _read_with_dcmqi(
    programs: Mapping[str, str], folder: Path, study: StandardStudy, spec: str
) -> Seen:
    path = study.files[spec]
    out = _empty(folder / "out")
    to_images = ("--outputDirectory", out, "--inputDICOM", path, "--outputType", "nii")
    match read_modality(path), parse_spec(spec).role:
        case "SEG", _:
            answer = run(programs["segimage2itkimage"], *to_images)
            made = sorted(out.glob("*.nii*"))
            expected = read_frames(path)
        case "SR", _:
            return _read_measurements(programs["tid1500reader"], path, out / "out.json")
        case _, ResultRole.EXPLANATION if "PixelData" not in pydicom.dcmread(path):
            answer = run(programs["paramap2itkimage"], *to_images)
            made = sorted(out.glob("*.nii*"))
            expected = read_frames(path)
        case _:
            return Seen(Verdict.NOT_READ, "it has no program for them")
    if answer.returncode or not made:
        return Seen(Verdict.NOT_READ, _last_error(answer))
    values = np.concatenate([_read_nifti(one) for one in made])
    return judge_values(values, expected.astype(values.dtype))


def _read_measurements(program: str, path: Path, out: Path) -> Seen:
    answer = run(program, "--inputDICOM", path, "--outputMetadata", out)
    if answer.returncode or not out.exists():
        return Seen(Verdict.NOT_READ, _last_error(answer))
    areas = {
        group["TrackingUniqueIdentifier"]: float(item["value"])
        for group in json.loads(out.read_text()).get("Measurements", [])
        for item in group.get("measurementItems", [])
        if item["quantity"]["CodeValue"] == _AREA
    }
    lesions = read_back_report(path).lesions
    expected = {
        lesion.group_uid: lesion.measurements[_AREA][0]
        for lesion in lesions
        if _AREA in lesion.measurements
    }
    wrong = len(expected.items() - areas.items())
    return Seen(Verdict.WRONG, f"{wrong} areas are missing") if wrong else Seen(Verdict.READ)


def _last_error(answer: subprocess.CompletedProcess[str]) -> str:
    lines = (answer.stderr + answer.stdout).strip().splitlines()
    lines = [line for line in lines if not line.startswith("dcmqi repository")]
    errors = [line for line in lines if re.search("error|missing|fail", line, re.IGNORECASE)]
    if answer.returncode < 0:
        return f"it crashes with signal {-answer.returncode}"
    return first_sentence((errors or lines or ["it writes nothing"])[0])


# ------------------------------------------------------------------------------ highdicom


@contextmanager
def start_highdicom(_: Workplace) -> Iterator[Started]:
    yield Started(importlib.metadata.version("highdicom"), _read_with_highdicom)


def _read_with_highdicom(study: StandardStudy, spec: str) -> Seen:
    path = study.files[spec]
    try:
        match read_modality(path):
            case "SEG":
                return _read_segmentation(study, path)
            case "SR":
                return _read_report(path)
            case "KO":
                document = highdicom.ko.KeyObjectSelectionDocument.from_dataset(
                    pydicom.dcmread(path)
                )
                references = document.content.get_references()
                named = {str(one.referenced_sop_instance_uid) for one in references}
                found = study.image.sop_instance_uid in named
                return Seen(Verdict.READ if found else Verdict.WRONG)
            case _:
                frames = highdicom.imread(path).get_frames()
                return judge_values(frames, read_frames(path).astype(frames.dtype))
    except Exception as error:  # noqa: BLE001  what a user of the library gets
        return Seen(Verdict.NOT_READ, first_sentence(str(error)))


def _read_segmentation(study: StandardStudy, path: Path) -> Seen:
    segmentation = highdicom.seg.segread(path)
    expected, source = segmented_frames(path), study.image.sop_instance_uid
    frames = sorted(expected)
    options: dict[str, Any] = {"ignore_spatial_locations": True, "rescale_fractional": False}
    if len(study.frames) > 1:
        pixels = segmentation.get_pixels_by_source_frame(
            source, frames, assert_missing_frames_are_empty=True, **options
        )
    else:
        pixels = segmentation.get_pixels_by_source_instance([source], **options)
    combined = pixels.max(axis=-1)
    return judge_values(
        combined, np.stack([expected[frame] for frame in frames]).astype(combined.dtype)
    )


def _read_report(path: Path) -> Seen:
    content = highdicom.sr.srread(path).content
    if not isinstance(content, highdicom.sr.MeasurementReport):
        return Seen(Verdict.WRONG, "not read as a measurement report")
    lesions = read_back_report(path).lesions
    expected = {lesion.tracking_uid for lesion in lesions if lesion.segmentation_uid}
    expected |= {lesion.group_uid for lesion in lesions if lesion.outline}
    groups = [
        *content.get_planar_roi_measurement_groups(),
        *content.get_image_measurement_groups(),
    ]
    missing = len(expected - {str(group.tracking_uid) for group in groups})
    if missing:
        return Seen(Verdict.WRONG, f"{missing} of {len(expected)} lesions are missing")
    return Seen(Verdict.READ)


def _in_wheel(package: str, program: str) -> list[str]:
    """Return where a program is in its wheel, if that is installed."""
    wheel = importlib.util.find_spec(package)
    places = wheel.submodule_search_locations if wheel else None
    return [f"{place}/{program}" for place in places or ()]


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
