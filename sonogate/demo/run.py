"""The whole line on one machine: phantoms go in by C-STORE, SEG and SR arrive at a PACS stand-in."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from db.engine import Database
from db.types import now_utc
from dicom.errors import DicomError
from dicom.images.header import read_header
from sonogate.database import migrated
from sonogate.demo.pacs import PacsStandIn
from sonogate.demo.report import StudyReport, report_on, stage_of
from sonogate.demo.studies import Sample, make_samples
from sonogate.inputs import find_inputs, is_plain
from sonogate.services.ports import LOOPBACK, listens
from sonogate.services.supervisor import Say
from sonogate.services.up import Plan, Up, started
from sonogate.settings import Installation
from sonogate.wrapping import Ready, as_dicom
from workers.peers.store_scu import Peer, send

STABLE_AFTER_SECONDS: Final = 3
CALLING_AE: Final = "DEMO"
IDLE_AT_MOST_S: Final = 180.0
"""When no study moves on for so long, the demo reports what there is."""
CAUTION: Final = "Phantoms show the plumbing, not the diagnosis."
_ROUTES: Final = """\
# Written by `sonogate demo`, anew each time.
[[source]]
ae_title = "*"
stable_after_seconds = {stable_after}

[[destination]]
name = "demo-pacs"
ae_title = "{pacs}"
host = "{host}"
port = {port}

[[route]]
name = "demo"
destinations = ["demo-pacs"]
"""


@dataclass(frozen=True)
class Demo:
    """Services that are up, the stand-in that their results go to, and where to tell of it."""

    up: Up
    pacs: PacsStandIn
    say: Say

    def send(self, samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
        """C-STORE the samples; returns those of which anything was taken, and what was not."""
        settings = self.up.installation.listener
        peer = Peer(settings.ae_title, LOOPBACK, settings.dicom_port)
        files = [file for sample in samples for file in sample.files]
        outcomes = send(files, peer, calling_ae=CALLING_AE)
        taken = {outcome.path for outcome in outcomes if outcome.accepted}
        self.say(f"{len(taken)} of {len(files)} objects were taken")
        return (
            [sample for sample in samples if taken & set(sample.files)],
            [f"{each.path.name}: {each.problem}" for each in outcomes if not each.accepted],
        )

    def results_of(self, samples: Sequence[Sample]) -> list[StudyReport]:
        """Wait until every study goes no further, and report."""
        with migrated(self.up.installation.front) as database:
            self.up.supervisor.watch(_Progress(database, samples, self.say).is_over, poll_s=0.3)
            with database.read() as session:
                return [
                    report_on(session, each.name, each.study_instance_uid, self.pacs.path_of)
                    for each in samples
                ]


class _Progress:
    """Tells of each step that a study takes."""

    def __init__(self, database: Database, samples: Sequence[Sample], say: Say) -> None:
        self._database, self._samples, self._say = database, samples, say
        self._told: dict[str, str] = {}
        self._moved_at = time.monotonic()

    def is_over(self) -> bool:
        """Whether every study is settled, or none has moved for too long."""
        with self._database.read() as session:
            stages = [stage_of(session, each.study_instance_uid) for each in self._samples]
        for sample, stage in zip(self._samples, stages, strict=True):
            if self._told.get(sample.study_instance_uid) != stage.text:
                self._told[sample.study_instance_uid] = stage.text
                self._moved_at = time.monotonic()
                self._say(f"{sample.name}: {stage.text}")
        idle_s = time.monotonic() - self._moved_at
        return all(stage.settled for stage in stages) or idle_s > IDLE_AT_MOST_S


@contextmanager
def running(home: Path, say: Say) -> Iterator[Demo]:
    """Services and stand-in under `home` until the block ends. Raises what `up.started` raises."""
    home.mkdir(parents=True, exist_ok=True)
    with PacsStandIn(home / "demo-pacs") as pacs:
        routes = home / "demo-routes.toml"
        routes.write_text(
            _ROUTES.format(
                stable_after=STABLE_AFTER_SECONDS, pacs=pacs.ae_title, host=LOOPBACK, port=pacs.port
            )
        )
        plan = Plan.make(**_overrides(home, routes, say))
        with started(plan, workers=1, say=say) as up:
            yield Demo(up, pacs, say)


def phantoms(folder: Path) -> list[Sample]:
    """The demo's own studies, with new UIDs each time."""
    return make_samples(folder, run=uuid4().hex, now=now_utc())


def own_studies(data: Path, folder: Path) -> tuple[list[Sample], list[str]]:
    """The DICOM files and pictures in a folder, study by study, and what was wrong with others.

    Raises NothingFound.
    """
    studies: dict[str, list[Path]] = {}
    names: dict[str, str] = {}
    problems = []
    for ready in as_dicom(find_inputs([data]), folder):
        uid = _study_uid(ready)
        if ready.file is None or uid is None:
            problems.append(f"{ready.source.name}: {ready.problem or 'not a DICOM object'}")
            continue
        studies.setdefault(uid, []).append(ready.file)
        plain = is_plain(ready.source)
        names.setdefault(uid, ready.source.name if plain else f"study {len(names) + 1}")
    return [Sample(names[uid], uid, tuple(files)) for uid, files in studies.items()], problems


def _study_uid(ready: Ready) -> str | None:
    try:
        return read_header(ready.file).study_instance_uid if ready.file else None
    except DicomError:
        return None


def _overrides(home: Path, routes: Path, say: Say) -> dict[str, Any]:
    """A demo never touches another database or broker, whatever the environment names."""
    own = {"home": home, "routes_file": routes.absolute(), "database_url": "", "redis_url": ""}
    found = Installation.load(**own)
    return {
        **own,
        "dicom_host": LOOPBACK,
        "dicom_port": _free(found.listener.dicom_port, "listener", say),
        "web_host": LOOPBACK,
        "web_port": _free(found.web.web_port, "worklist", say),
    }


def _free(port: int, what: str, say: Say) -> int:
    """The usual port, or 0, which stands for any free one."""
    if port and listens(port):
        say(f"port {port} is taken: the {what} gets another one")
        return 0
    return port
