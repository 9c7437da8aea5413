"""Receiving speed of Sonogate's listener beside DCMTK's ``storescp +B`` and Orthanc.

Run it as ``python -m benchmarks.receive`` (``--rounds N`` for steadier numbers); it needs DCMTK, and
takes Orthanc in if it is installed. The receivers take turns, each round with a fresh process and an
empty store on one disk, and the same sender: ``dcmsend`` over 1 and 4 associations at once. A first
round warms up and does not count. What counts is the ratio of medians in one run, never a rate alone. All DCMTK and Orthanc processes run
with ``TCP_NODELAY=1``: without it they wait some 45 ms for each answer, and we would be flattered.

The three do not promise the same. Sonogate answers Success after fsync and commit; ``storescp +B``
writes and hopes; Orthanc commits to its own index.
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
"""Starts a receiver with its store in a folder; gives its port."""


@dataclass(frozen=True)
class Load:
    """Files to send, and over how many associations at once."""

    name: str
    files: tuple[Path, ...]
    associations: int

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.files) / 1e6


def main() -> None:
    rounds = _rounds()
    if not all(map(shutil.which, ("dcmsend", "storescp"))):
        sys.exit("this benchmark needs DCMTK (dcmsend, storescp): `make peers` installs it")
    receivers: dict[str, Receiver] = {"sonogate": sonogate, REFERENCE: storescp}
    if shutil.which("Orthanc"):
        receivers["orthanc"] = orthanc
    with TemporaryDirectory(prefix="sonogate-receive-") as folder:
        loads = make_loads(Path(folder))
        report(loads, receivers, measure(Path(folder), loads, receivers, rounds))


def _rounds() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receive")
    parser.add_argument("--rounds", type=int, default=3)
    rounds: int = parser.parse_args().rounds
    return rounds


# ------------------------------------------------------------------------------ what is sent


def make_loads(folder: Path) -> list[Load]:
    """Stills as a modality compresses them, and cines; nothing is sent twice to one store."""
    kinds = {"stills": (60, 1), "cines": (4, 60)}
    return [
        Load(
            f"{kind}, {associations} at once",
            tuple(make_files(folder / f"{kind}{associations}", count=count, frames=frames)),
            associations,
        )
        for kind, (count, frames) in kinds.items()
        for associations in (1, 4)
    ]


def make_files(folder: Path, *, count: int, frames: int) -> Iterator[Path]:
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


# ------------------------------------------------------------------------------ who receives


@contextmanager
def sonogate(home: Path) -> Iterator[int]:
    port = peers.free_port()
    environment = ENVIRONMENT | {"SONOGATE_HOME": str(home), "SONOGATE_DICOM_PORT": str(port)}
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    migrate.upgrade(database.engine)
    database.close()
    with _listening([sys.executable, "-c", LISTENER], port, home, environment):
        yield port


@contextmanager
def storescp(home: Path) -> Iterator[int]:
    port = peers.free_port()
    with _listening(["storescp", "--fork", "+xa", "+B", "-od", str(home), str(port)], port, home):
        yield port


@contextmanager
def orthanc(home: Path) -> Iterator[int]:
    with peers.orthanc(home) as pacs:
        yield pacs.dicom_port


@contextmanager
def _listening(
    command: list[str], port: int, home: Path, environment: dict[str, str] = ENVIRONMENT
) -> Iterator[None]:
    with peers.running(command, log=home / "log", env=environment):
        peers.wait_until(lambda: peers.listens(port), seconds=60, what=command[0])
        yield


# ------------------------------------------------------------------------------ the measurement


def measure(
    folder: Path, loads: list[Load], receivers: dict[str, Receiver], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Seconds for each load and receiver."""
    seconds = defaultdict(list)
    for number in range(rounds + 1):
        for name, receiver in receivers.items():
            with TemporaryDirectory(dir=folder) as home, receiver(Path(home)) as port:
                for load in loads:
                    taken = send(load, port)
                    if number:
                        seconds[load.name, name].append(taken)
    return seconds


def send(load: Load, port: int) -> float:
    """Seconds from the start of the senders to the end of the last."""
    shares = [load.files[start :: load.associations] for start in range(load.associations)]
    command = ["dcmsend", "-dn", "--max-send-pdu", "131072", "127.0.0.1", str(port)]
    start = time.perf_counter()
    senders = [
        subprocess.Popen([*command, *map(str, share)], env=ENVIRONMENT)  # noqa: S603  our own files
        for share in shares
    ]
    codes = [sender.wait() for sender in senders]
    if any(codes):
        sys.exit("a sender failed: the receiver refused an object")
    return time.perf_counter() - start


def report(
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
