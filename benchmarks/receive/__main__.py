"""Compare the receiving speed of the listener with ``storescp +B`` of DCMTK and with Orthanc.

Run ``python -m benchmarks.receive``; ``--json FILE`` writes every cell. It requires DCMTK; Orthanc is
included if it is installed. Images of 66 kB, of 0.77 MB, and cines of 60 MB are sent by ``dcmsend``
over 1, 4 and 8 simultaneous associations. The receivers take turns: in every round, each of them
starts a new process with an empty store on the same disk. The first round is a warm-up and does not
count. Compare the ratios of the medians within one run, not the rates of different runs. All DCMTK
and Orthanc processes run with ``TCP_NODELAY=1``; otherwise they would wait some 45 ms for each
response.

The receivers give different guarantees. Sonogate returns Success after fsync, Orthanc after a commit
to its index, and ``storescp +B`` without either. ``--guarantees`` adds the listener without its
fsync of the directory, and without any, to show what they cost, and with rows in PostgreSQL.
``--memory`` measures the listener alone: its peak memory while 8 senders send cines of 433 MB.

The indexer runs beside the listener. "Rows after" is the time from the start of the senders to the
last row, in multiples of the time to the last Success: 1.00 when the indexer keeps up.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from db import migrate
from db.engine import Database
from db.files import FileStore
from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.uids import derived_uid
from listener.index_service import is_running
from tests import peers

SONOGATE: Final = "sonogate"
REFERENCE: Final = "storescp +B"
ORTHANC: Final = "orthanc"
ENVIRONMENT: Final = {**os.environ, "TCP_NODELAY": "1", "SONOGATE_LOG_LEVEL": "WARNING"}
LISTENER: Final = (
    "from listener.main import run; from listener.settings import ListenerSettings;"
    " run(ListenerSettings.load())"
)
INDEXER: Final = (
    "from listener.index_service import run; from db.settings import StoreSettings;"
    " run(StoreSettings.load())"
)
WITHOUT_DIRECTORY: Final = (
    "import listener.incoming_files as f; f.flush_directory = lambda path: None; "
)
WITHOUT_FSYNC: Final = WITHOUT_DIRECTORY + "import os; os.fsync = lambda descriptor: None; "
MEGABYTE: Final = 1e6
MAX_PDU_BYTES: Final = 131_072


@dataclass(frozen=True)
class Size:
    """Images of one size. A cine repeats its frame."""

    name: str
    rows: int
    columns: int
    frames: int
    count: int
    """Objects of one load; at least one for each association."""


SIZES: Final = (
    Size("66 kB", 256, 256, 1, 240),
    Size("0.77 MB", 768, 1000, 1, 96),
    Size("60 MB", 768, 1000, 78, 4),
)
LARGE_CINE: Final = Size("433 MB", 768, 1000, 564, 1)
ASSOCIATIONS: Final = (1, 4, 8)


@dataclass(frozen=True)
class Load:
    """Files to send, and the number of simultaneous associations."""

    size: str
    files: tuple[Path, ...]
    associations: int

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.files) / MEGABYTE


@dataclass
class Cell:
    """One receiver under one load."""

    receiver: str
    size: str
    associations: int
    objects: int
    megabytes: float
    seconds: list[float] = field(default_factory=list)
    """Of each round: from the start of the senders to the end of the last one."""
    indexed_seconds: list[float] = field(default_factory=list)
    """The same, to the time when the last object has its row. Empty for other receivers."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def to_json(self) -> dict[str, object]:
        rates = {
            "objects_per_second": self.objects / self.median,
            "megabytes_per_second": self.megabytes / self.median,
        }
        return asdict(self) | rates


@dataclass(frozen=True)
class Running:
    """A started receiver."""

    port: int
    files: Path | None = None
    """The file store of Sonogate."""
    process_id: int = 0


Receiver = Callable[[Path], AbstractContextManager[Running]]
"""Starts a receiver with its store in a folder."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receive")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every cell to this file")
    parser.add_argument("--guarantees", action="store_true")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if not all(map(shutil.which, ("dcmsend", "storescp"))):
        sys.exit("dcmsend and storescp of DCMTK are not installed. Install them with `make peers`")
    with TemporaryDirectory(prefix="sonogate-receive-") as folder:
        if options.memory:
            megabytes = measure_memory(Path(folder))
            sys.stdout.write(f"peak memory, 8 senders of {LARGE_CINE.name}: {megabytes:.0f} MB\n")
            return
        receivers = list_receivers(with_guarantees=options.guarantees)
        cells = measure(Path(folder), build_loads(Path(folder)), receivers, options.rounds)
    print_report(cells)
    if options.json:
        options.json.write_text(json.dumps([cell.to_json() for cell in cells], indent=1))


def list_receivers(*, with_guarantees: bool) -> dict[str, Receiver]:
    receivers: dict[str, Receiver] = {SONOGATE: sonogate, REFERENCE: storescp}
    if shutil.which("Orthanc"):
        receivers[ORTHANC] = orthanc
    if with_guarantees:
        receivers["without directory"] = partial(sonogate, changes=WITHOUT_DIRECTORY)
        receivers["without fsync"] = partial(sonogate, changes=WITHOUT_FSYNC)
        receivers["rows in PostgreSQL"] = sonogate_with_postgresql
    return receivers


# ------------------------------------------------------------------------------ objects


def build_loads(folder: Path) -> list[Load]:
    """Return the images to send. No object is sent to the same store twice."""
    return [
        Load(
            size.name,
            tuple(write_files(folder / f"{size.rows}-{size.frames}-{count}", size, count)),
            count,
        )
        for size in SIZES
        for count in ASSOCIATIONS
    ]


def write_files(folder: Path, size: Size, associations: int) -> Iterator[Path]:
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (size.rows, size.columns), np.uint8)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    study = StudyContext(derived_uid("benchmark", folder.name), "BENCHMARK", "Bench^Mark", moment)
    for number in range(1, max(size.count, associations) + 1):
        dataset = build_ultrasound_image(
            noise if size.frames == 1 else [noise] * size.frames,
            study=study,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            instance_number=number,
        )
        path = folder / f"{number}.dcm"
        write_dataset(dataset, path)
        yield path


# ------------------------------------------------------------------------------ receivers


@contextmanager
def sonogate(home: Path, *, changes: str = "", database_url: str = "") -> Iterator[Running]:
    """Start listener and indexer. `changes` is executed in the listener before it starts."""
    port = peers.free_port()
    url = database_url or f"sqlite:///{home / 'sonogate.db'}"
    environment = ENVIRONMENT | {
        "SONOGATE_HOME": str(home),
        "SONOGATE_DATABASE_URL": url,
        "SONOGATE_DICOM_PORT": str(port),
        "SONOGATE_MIN_FREE_BYTES": "0",
    }
    database = Database(url)
    migrate.upgrade(database.engine)
    database.close()
    command = [sys.executable, "-c", changes + LISTENER]
    indexer = [sys.executable, "-c", INDEXER]
    with (
        peers.run_process(indexer, log=home / "indexer-log", env=environment),
        _run_receiver(command, port, home, environment) as process_id,
    ):
        files = FileStore(home / "files")
        peers.wait_until(lambda: is_running(files), seconds=60, what="the indexer")
        yield Running(port, files.root, process_id)


@contextmanager
def sonogate_with_postgresql(home: Path) -> Iterator[Running]:
    with (
        peers.postgresql(home) as url,
        sonogate(home, database_url=url) as running,
    ):
        yield running


@contextmanager
def storescp(home: Path) -> Iterator[Running]:
    port = peers.free_port()
    command = ["storescp", "--fork", "+xa", "+B", "-od", str(home), str(port)]
    with _run_receiver(command, port, home):
        yield Running(port)


@contextmanager
def orthanc(home: Path) -> Iterator[Running]:
    with peers.orthanc(home) as pacs:
        yield Running(pacs.dicom_port)


@contextmanager
def _run_receiver(
    command: list[str], port: int, home: Path, environment: dict[str, str] = ENVIRONMENT
) -> Iterator[int]:
    with peers.run_process(command, log=home / "log", env=environment) as process:
        peers.wait_until(lambda: peers.is_listening(port), seconds=60, what=command[0])
        yield process.pid


# ------------------------------------------------------------------------------ measurement


def measure(
    folder: Path, loads: Sequence[Load], receivers: dict[str, Receiver], rounds: int
) -> list[Cell]:
    """Send every load to every receiver, in each of the rounds and in one before them."""
    cells = {
        (load, name): Cell(name, load.size, load.associations, len(load.files), load.megabytes)
        for load in loads
        for name in receivers
    }
    for number in range(rounds + 1):
        for name, receiver in receivers.items():
            with TemporaryDirectory(dir=folder) as home, receiver(Path(home)) as running:
                for load in loads:
                    start = time.perf_counter()
                    send(load, running.port)
                    seconds = time.perf_counter() - start
                    if running.files is not None:
                        wait_until_indexed(running.files)
                    if number:
                        cell = cells[load, name]
                        cell.seconds.append(seconds)
                        if running.files is not None:
                            cell.indexed_seconds.append(time.perf_counter() - start)
    return list(cells.values())


def send(load: Load, port: int) -> None:
    shares = [load.files[start :: load.associations] for start in range(load.associations)]
    command = ["dcmsend", "-dn", "--max-send-pdu", str(MAX_PDU_BYTES), "127.0.0.1", str(port)]
    senders = [
        subprocess.Popen([*command, *map(str, share)], env=ENVIRONMENT)  # noqa: S603  paths are our own
        for share in shares
    ]
    codes = [sender.wait() for sender in senders]
    if any(codes):
        sys.exit("dcmsend failed because the receiver refused an object")


def wait_until_indexed(files: Path) -> None:
    """Wait until no received file is left that has no row yet."""
    while any(any((files / name).glob("*")) for name in ("spool", "incoming")):
        time.sleep(0.002)


def measure_memory(folder: Path) -> float:
    """Return the peak resident memory of the listener in MB."""
    (path,) = write_files(folder / "large", LARGE_CINE, 1)
    with TemporaryDirectory(dir=folder) as home, sonogate(Path(home)) as running:
        send(Load(LARGE_CINE.name, (path,) * 8, 8), running.port)
        status = Path(f"/proc/{running.process_id}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / MEGABYTE


def print_report(cells: Sequence[Cell]) -> None:
    by_load = {(cell.size, cell.associations): cell for cell in cells if cell.receiver == REFERENCE}
    orthanc_cells = {
        (cell.size, cell.associations): cell for cell in cells if cell.receiver == ORTHANC
    }
    for load, reference in by_load.items():
        size, associations = load
        sys.stdout.write(f"{size}, {associations} simultaneous: {reference.objects} objects\n")
        for cell in (cell for cell in cells if (cell.size, cell.associations) == load):
            against = f"{reference.median / cell.median:5.2f} x {REFERENCE}"
            if load in orthanc_cells:
                against += f" {orthanc_cells[load].median / cell.median:6.2f} x {ORTHANC}"
            if cell.indexed_seconds:
                delay = statistics.median(cell.indexed_seconds) / cell.median
                against += f"   rows after {delay:.2f} x the time"
            sys.stdout.write(
                f"  {cell.receiver:18} {cell.objects / cell.median:8.1f} objects/s"
                f" {cell.megabytes / cell.median:8.0f} MB/s   {against}\n"
            )


if __name__ == "__main__":
    main()
