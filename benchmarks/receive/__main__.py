"""Compare the receiving speed of the listener with ``storescp +B`` of DCMTK and with Orthanc.

Run ``python -m benchmarks.receive``, with ``--rounds N`` for more stable results. It requires DCMTK;
Orthanc is included if it is installed. The receivers take turns. In every round, each of them starts
a new process with an empty store on the same disk, and ``dcmsend`` sends to it over 1 and over 4
simultaneous associations. The first round is a warm-up and does not count. Compare the ratios of the
medians within one run, not the rates of different runs. All DCMTK and Orthanc processes run with
``TCP_NODELAY=1``; otherwise they would wait some 45 ms for each response.

The receivers give different guarantees. Sonogate returns Success after fsync and commit, Orthanc
after a commit to its index, and ``storescp +B`` without either.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from pydicom.uid import JPEGBaseline8Bit

from db import migrate
from db.engine import Database
from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.uids import derived_uid
from tests import peers

REFERENCE: Final = "storescp +B"
ENVIRONMENT: Final = {**os.environ, "TCP_NODELAY": "1"}
LISTENER: Final = (
    "from listener.main import run; from listener.settings import ListenerSettings;"
    " run(ListenerSettings.load())"
)

Receiver = Callable[[Path], AbstractContextManager[int]]
"""Starts a receiver with its store in a folder and yields its port."""


@dataclass(frozen=True)
class Load:
    """Files to send, and the number of simultaneous associations."""

    name: str
    files: tuple[Path, ...]
    associations: int

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.files) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receive")
    parser.add_argument("--rounds", type=int, default=3)
    rounds: int = parser.parse_args().rounds
    if not all(map(shutil.which, ("dcmsend", "storescp"))):
        sys.exit("dcmsend and storescp of DCMTK are not installed. Install them with `make peers`")
    receivers: dict[str, Receiver] = {"sonogate": sonogate, REFERENCE: storescp}
    if shutil.which("Orthanc"):
        receivers["orthanc"] = orthanc
    with TemporaryDirectory(prefix="sonogate-receive-") as folder:
        loads = build_loads(Path(folder))
        print_report(loads, receivers, measure(Path(folder), loads, receivers, rounds))


# ------------------------------------------------------------------------------ objects


def build_loads(folder: Path) -> list[Load]:
    """Return JPEG stills and cines. No object is sent to the same store twice."""
    kinds = {"stills": (60, 1), "cines": (4, 60)}
    return [
        Load(
            f"{kind}, {associations} simultaneous",
            tuple(write_files(folder / f"{kind}{associations}", count=count, frames=frames)),
            associations,
        )
        for kind, (count, frames) in kinds.items()
        for associations in (1, 4)
    ]


def write_files(folder: Path, *, count: int, frames: int) -> Iterator[Path]:
    folder.mkdir()
    noise = np.random.default_rng(0).normal(128, 25, (600, 800, 3)).clip(0, 255).astype(np.uint8)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    uid = derived_uid("benchmark", folder.name)
    study = StudyContext(uid, "BENCHMARK", "Bench^Mark", moment)
    for number in range(1, count + 1):
        dataset = build_ultrasound_image(
            noise if frames == 1 else [noise] * frames,
            study=study,
            transfer_syntax_uid=JPEGBaseline8Bit,
            instance_number=number,
        )
        path = folder / f"{number}.dcm"
        write_dataset(dataset, path)
        yield path


# ------------------------------------------------------------------------------ receivers


@contextmanager
def sonogate(home: Path) -> Iterator[int]:
    port = peers.free_port()
    environment = ENVIRONMENT | {"SONOGATE_HOME": str(home), "SONOGATE_DICOM_PORT": str(port)}
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    migrate.upgrade(database.engine)
    database.close()
    with _run_receiver([sys.executable, "-c", LISTENER], port, home, environment):
        yield port


@contextmanager
def storescp(home: Path) -> Iterator[int]:
    port = peers.free_port()
    with _run_receiver(
        ["storescp", "--fork", "+xa", "+B", "-od", str(home), str(port)], port, home
    ):
        yield port


@contextmanager
def orthanc(home: Path) -> Iterator[int]:
    with peers.orthanc(home) as pacs:
        yield pacs.dicom_port


@contextmanager
def _run_receiver(
    command: list[str], port: int, home: Path, environment: dict[str, str] = ENVIRONMENT
) -> Iterator[None]:
    with peers.run_process(command, log=home / "log", env=environment):
        peers.wait_until(lambda: peers.is_listening(port), seconds=60, what=command[0])
        yield


# ------------------------------------------------------------------------------ measurement


def measure(
    folder: Path, loads: list[Load], receivers: dict[str, Receiver], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of each round by load and receiver."""
    seconds = defaultdict(list)
    for number in range(rounds + 1):
        for name, receiver in receivers.items():
            with TemporaryDirectory(dir=folder) as home, receiver(Path(home)) as port:
                for load in loads:
                    elapsed = send(load, port)
                    if number:
                        seconds[load.name, name].append(elapsed)
    return seconds


def send(load: Load, port: int) -> float:
    """Return the seconds from the start of the senders to the end of the last one."""
    shares = [load.files[start :: load.associations] for start in range(load.associations)]
    command = ["dcmsend", "-dn", "--max-send-pdu", "131072", "127.0.0.1", str(port)]
    start = time.perf_counter()
    senders = [
        subprocess.Popen([*command, *map(str, share)], env=ENVIRONMENT)  # noqa: S603  paths are our own
        for share in shares
    ]
    codes = [sender.wait() for sender in senders]
    if any(codes):
        sys.exit("dcmsend failed because the receiver refused an object")
    return time.perf_counter() - start


def print_report(
    loads: list[Load],
    receivers: dict[str, Receiver],
    seconds: dict[tuple[str, str], list[float]],
) -> None:
    for load in loads:
        reference = statistics.median(seconds[load.name, REFERENCE])
        sys.stdout.write(f"{load.name}: {len(load.files)} objects, {load.megabytes:.0f} MB\n")
        for name in receivers:
            median = statistics.median(seconds[load.name, name])
            sys.stdout.write(
                f"  {name:12} {len(load.files) / median:8.1f} objects/s"
                f" {load.megabytes / median:8.0f} MB/s   {reference / median:5.2f} x {REFERENCE}\n"
            )


if __name__ == "__main__":
    main()
