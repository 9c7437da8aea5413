"""Compare decoding in this process with decoding in another one, which can be killed.

Run ``python -m benchmarks.decoding``. Both ways take turns over the same files in one run:

- the time to decode a frame of 1024 x 768 in color, by transfer syntax, in a cine and in a still;
- the time to analyze a JPEG cine and a still with the shipped preset (``--rounds 0`` omits it);
- the time until a new process has decoded its first frame.

Then new processes (Linux only) decode small files that declare 20,000 x 20,000 pixels or inflate to
1 GB, with pydicom and with Sonogate, and report their peak memory.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unittest.mock import patch

import numpy as np
import pydicom
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicom.images import decoder_pool
from dicom.images.frames import Frame, decode_frames, decode_here
from dicom.images.ultrasound_image import build_ultrasound_image
from models.phantom import make_phantom
from tests.dicom import making
from tests.dicom.images import abuse

FRAMES: Final = 8
SYNTAXES: Final = (JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless, RLELossless)
_PEAK: Final = """
import sys
from pathlib import Path
from pydicom import dcmread
from dicom.errors import DicomError
from dicom.images.frames import decode_here
way, path = sys.argv[1], Path(sys.argv[2])
try:
    list(decode_here(path, [0])) if way == "Sonogate" else dcmread(path).pixel_array
    outcome = "decoded"
except Exception as error:
    outcome = getattr(error, "code", "error")
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
print(f"| {path.name} | {path.stat().st_size} | {way} | {peak} | {outcome} |")
"""


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description="What decoding in another process costs.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    color = [
        np.stack([make_phantom("cyst", seed=seed, height=768, width=1024).image] * 3, axis=-1)
        for seed in range(FRAMES)
    ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        for lines in (
            compare_decoding(folder, color),
            compare_analyses(folder, color, rounds) if rounds else (),
            measure_peaks(folder),
        ):
            for line in lines:
                print(line, flush=True)  # noqa: T201  # the output of this program


def compare_decoding(folder: Path, color: Sequence[Frame]) -> Iterator[str]:
    """Yield a table of milliseconds for each frame."""
    yield "| transfer syntax | here | other process | still here | still, other process |"
    yield "|---|---|---|---|---|"
    for syntax in SYNTAXES:
        path = write_cine(folder / "cine.dcm", color, syntax)
        numbers = []
        for indices in (range(FRAMES), [0]):
            medians = take_turns(
                {
                    "here": partial(decode_all, decode_here, path, indices),
                    "elsewhere": partial(decode_all, decode_frames, path, indices),
                },
                rounds=5,
            )
            numbers += [f"{1000 * value / len(indices):.1f}" for value in medians.values()]
        yield f"| {UID(syntax).name} | {' | '.join(numbers)} |"
    starts = []
    for _ in range(5):
        decoder_pool.stop_idle_processes()
        started = time.perf_counter()
        next(decode_frames(path, [0]))
        starts.append(time.perf_counter() - started)
    yield f"\nfirst frame of a new process: {statistics.median(starts):.2f} s\n"


def compare_analyses(folder: Path, color: Sequence[Frame], rounds: int) -> Iterator[str]:
    """Yield a line on a still and on a cine."""
    from models.predictor import Predictor
    from workers.pipeline.image import analyze_image

    predictor = Predictor.load()
    for name, count in (("still", 1), (f"cine of {FRAMES} frames", FRAMES)):
        path = write_cine(folder / "image.dcm", color[:count], JPEGBaseline8Bit)

        def analyze(way: Callable[..., Iterator[Frame]], path: Path = path) -> None:
            with patch("dicom.images.frames.decode_elsewhere", way):
                analyze_image(path, predictor)

        ways = {"here": decode_without_process, "elsewhere": decoder_pool.decode_elsewhere}
        medians = take_turns({name: partial(analyze, way) for name, way in ways.items()}, rounds)
        yield (
            f"analysis of a JPEG {name}: {1000 * medians['here']:.0f} ms decoded here, "
            f"{1000 * medians['elsewhere']:.0f} ms in another process, "
            f"ratio {medians['elsewhere'] / medians['here']:.3f}"
        )


def decode_all(
    decode: Callable[[Path, Sequence[int]], Iterator[Frame]], path: Path, indices: Sequence[int]
) -> None:
    """Decode frames, one in memory at a time."""
    for _ in decode(path, indices):
        pass


def decode_without_process(
    path: Path, indices: Sequence[int], _shape: tuple[int, int]
) -> Iterator[Frame]:
    """Decode in this process, as `decoder_pool.decode_elsewhere` does in another one."""
    return decode_here(path, indices)


def measure_peaks(folder: Path) -> Iterator[str]:
    """Yield a table of the memory that small files take."""
    names = {"1.2.840.10008.1.2.4.50": "jpeg", "1.2.840.10008.1.2.4.80": "jpeg-ls"}
    paths = [
        abuse.write_codestream(
            folder / names.get(syntax, "jpeg-2000"), syntax, declare(abuse.ABSURD), abuse.ABSURD
        )
        for syntax, declare in abuse.DECLARED.items()
    ]
    paths.append(abuse.write_inflating_data_set(folder / "deflated", 1_000_000_000))
    yield "\n| file | bytes | decoder | peak MiB | outcome |\n|---|---|---|---|---|"
    for path in paths:
        for way in ("pydicom", "Sonogate"):
            done = subprocess.run(  # noqa: S603  # the fixed program above
                [sys.executable, "-c", _PEAK, way, path],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
                env={**os.environ},
            )
            yield done.stdout.strip() or f"| {path.name} | | {way} | | died |"


def write_cine(path: Path, color: Sequence[Frame], syntax: str) -> Path:
    """Write frames in a transfer syntax."""
    own = JPEGBaseline8Bit if syntax == JPEGBaseline8Bit else ExplicitVRLittleEndian
    dataset = build_ultrasound_image(color, study=making.STUDY, transfer_syntax_uid=own)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    if syntax != own:
        dataset = pydicom.dcmread(path)
        dataset.compress(UID(syntax), generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
    return path


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds by way. The first round is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
