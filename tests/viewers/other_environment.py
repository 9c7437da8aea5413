"""Libraries that have an environment of their own; see requirements.txt and read_elsewhere.py."""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.viewers.programs import HERE, Started, Workplace
from tests.viewers.readers import judge_text
from tests.viewers.seen import Seen, Verdict, first_sentence, judge_values
from tests.viewers.standard_studies import StandardStudy, read_frames, read_modality

_PYTHON = HERE.parents[1] / ".tools" / "viewers" / "bin" / "python"


def start_simpleitk(workplace: Workplace) -> AbstractContextManager[Started]:
    return _start("SimpleITK", workplace)


def start_pydicom_seg(workplace: Workplace) -> AbstractContextManager[Started]:
    return _start("pydicom-seg", workplace)


def start_itk_wasm(workplace: Workplace) -> AbstractContextManager[Started]:
    return _start("itkwasm-dicom", workplace)


@contextmanager
def _start(library: str, workplace: Workplace) -> Iterator[Started]:
    if not _PYTHON.exists():
        pytest.skip(f"{library} is not installed: tests/viewers/requirements.txt says how")
    version = workplace.folder / "version"
    answer = _run(library, "version", "", version)
    if answer.returncode:
        pytest.skip(f"{library} is not installed: tests/viewers/requirements.txt says how")
    yield Started(version.read_text(), partial(_read, library, workplace.folder))


def _read(library: str, folder: Path, study: StandardStudy, spec: str) -> Seen:
    path = study.files[spec]
    kind = read_modality(path)
    out = folder / "out.npy"
    out.unlink(missing_ok=True)
    file = f"{study.source}:{path}" if kind == "PR" and library == "itkwasm-dicom" else str(path)
    answer = _run(library, kind, file, out)
    if answer.returncode or not out.exists():
        return Seen(Verdict.NOT_READ, _explain(answer.stderr))
    data = out.read_bytes()
    if data.startswith(b"\x93NUMPY"):
        values, expected = np.load(out), read_frames(path)
        if values.ndim == expected.ndim - 1:
            values = values[np.newaxis]
        return judge_values(values, expected.astype(values.dtype))
    if kind == "DOC":
        document = bytes(pydicom.dcmread(path).EncapsulatedDocument)
        same = data.rstrip(b"\0") == document.rstrip(b"\0")
        return Seen(Verdict.READ if same else Verdict.WRONG)
    return judge_text(data.decode(errors="replace"), study, spec)


def _run(library: str, kind: str, file: str, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PYTHON, HERE / "read_elsewhere.py", library, kind, file, out],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _explain(text: str) -> str:
    """Return what an error says: of WebAssembly, whose traps say nothing, what came before."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    trap = next((n for n, line in enumerate(lines) if "Traceback" in line), len(lines))
    said = [line for line in lines[:trap] if not line.startswith("W:")]
    last = lines[-1] if lines else "it writes nothing"
    return first_sentence(said[0] if said else last.split(": ", 1)[-1])
