"""Runs the demo: sends studies to the listener and waits until their results reach the demo PACS."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from db.engine import Database
from sonogate.database import open_current_database
from sonogate.demo.ohif import check_installed, serve_ohif, study_url
from sonogate.demo.orthanc import OrthancPacs
from sonogate.demo.pacs import DemoPacs
from sonogate.demo.results import StudySummary, find_progress, summarize
from sonogate.demo.studies import DemoStudy
from sonogate.services.ports import LOOPBACK, is_listening
from sonogate.services.supervisor import Notify, Program
from sonogate.services.up import LaunchPlan, RunningServices, run_services
from sonogate.settings import Installation
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.store_scu import send

STABLE_AFTER_SECONDS: Final = 3
CALLING_AE: Final = "DEMO"
STALL_TIMEOUT_SECONDS: Final = 180.0
"""The demo stops waiting if no study has made progress for this long."""
POLL_SECONDS: Final = 0.3
ROUTES: Final = """\
# Written by each run of `sonogate demo`.
[[source]]
ae_title = "*"
stable_after_seconds = {stable_after}

[[destination]]
name = "demo-pacs"
ae_title = "{pacs}"
host = "{host}"
port = {port}
{results}

[[route]]
name = "demo"
destinations = ["demo-pacs"]
"""


RESULTS: Final = 'results = ["seg", "sr"]'
RESULTS_IN_OHIF: Final = 'profile = "ohif"'


class Pacs(Protocol):
    """The demo PACS."""

    @property
    def ae_title(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def folder(self) -> Path: ...
    def path_of(self, sop_instance_uid: str) -> Path:
        """Return the file of an object, which exists once the object is received."""


@dataclass(frozen=True)
class RunningDemo:
    """Running services, and the demo PACS that receives their results."""

    services: RunningServices
    pacs: Pacs
    notify: Notify
    ohif_address: str | None = None
    """Where the viewer shows the studies of the demo PACS."""

    def ohif_url(self, study: DemoStudy) -> str | None:
        """Return the page of a study in the viewer, if it runs."""
        return self.ohif_address and study_url(self.ohif_address, study.study_instance_uid)

    def store_images(self, studies: Sequence[DemoStudy]) -> list[str]:
        """Send the studies to the demo PACS, as the ultrasound machine does.

        Returns a line for each object that it refused.
        """
        peer = Peer(self.pacs.ae_title, LOOPBACK, self.pacs.port)
        files = [file for study in studies for file in study.files]
        outcomes = send(AssociationRequestor(peer, CALLING_AE), files)
        return [f"{one.path.name}: {one.problem}" for one in outcomes if not one.accepted]

    def send(self, studies: Sequence[DemoStudy]) -> tuple[list[DemoStudy], list[str]]:
        """Send the studies to the listener by C-STORE.

        Returns the studies of which the listener accepted at least one object, and a line for
        each object that it refused.
        """
        settings = self.services.installation.listener
        peer = Peer(settings.ae_title, LOOPBACK, settings.dicom_port)
        files = [file for study in studies for file in study.files]
        outcomes = send(AssociationRequestor(peer, CALLING_AE), files)
        accepted = {outcome.path for outcome in outcomes if outcome.accepted}
        refused = [outcome for outcome in outcomes if not outcome.accepted]
        self.notify(f"Listener accepted {len(accepted)} of {len(files)} objects")
        return (
            [study for study in studies if accepted & set(study.files)],
            [f"{outcome.path.name}: {outcome.problem}" for outcome in refused],
        )

    def wait_for_results(self, studies: Sequence[DemoStudy]) -> list[StudySummary]:
        """Wait until every study is finished or none makes progress, and summarize them."""
        settings = self.services.installation.cli
        with open_current_database(settings) as database:
            monitor = _ProgressMonitor(database, studies, self.notify)
            self.services.supervisor.run_until(monitor.is_over, poll_seconds=POLL_SECONDS)
            with database.read() as session:
                return [
                    summarize(session, study.name, study.study_instance_uid, self.pacs.path_of)
                    for study in studies
                ]


class _ProgressMonitor:
    """Reports each step of a study once."""

    def __init__(self, database: Database, studies: Sequence[DemoStudy], notify: Notify) -> None:
        self._database, self._studies, self._notify = database, studies, notify
        self._reported: dict[str, str] = {}
        self._last_progress_at = time.monotonic()

    def is_over(self) -> bool:
        """Return whether every study is finished, or none has made progress for too long."""
        with self._database.read() as session:
            steps = [find_progress(session, study.study_instance_uid) for study in self._studies]
        for study, step in zip(self._studies, steps, strict=True):
            if self._reported.get(study.study_instance_uid) != step.text:
                self._reported[study.study_instance_uid] = step.text
                self._last_progress_at = time.monotonic()
                self._notify(f"{study.name}: {step.text}")
        idle_seconds = time.monotonic() - self._last_progress_at
        return all(step.finished for step in steps) or idle_seconds > STALL_TIMEOUT_SECONDS


@contextmanager
def run_demo(home: Path, notify: Notify, *, ohif: bool = False) -> Iterator[RunningDemo]:
    """Run all services and the demo PACS in `home` until the block ends.

    With `ohif`, the demo PACS is Orthanc, and the OHIF viewer shows its studies.

    Raises:
        OhifNotInstalled: `ohif` was asked for, and the viewer is missing.
        OrthancNotInstalled: `ohif` was asked for, and Orthanc is missing.
        CommandError: The services cannot be started; see `run_services`.
    """
    if ohif:
        check_installed()
    home.mkdir(parents=True, exist_ok=True)
    if not ohif:
        with DemoPacs(home / "demo-pacs") as pacs, _services(home, notify, pacs) as services:
            yield RunningDemo(services, pacs, notify)
        return
    orthanc = OrthancPacs(home)
    with (
        _services(home, notify, orthanc, others=(orthanc.program,), results=RESULTS_IN_OHIF) as run,
        serve_ohif((LOOPBACK, orthanc.http_port)) as address,
    ):
        yield RunningDemo(run, orthanc, notify, address)


@contextmanager
def _services(
    home: Path,
    notify: Notify,
    pacs: Pacs,
    *,
    others: tuple[Program, ...] = (),
    results: str = RESULTS,
) -> Iterator[RunningServices]:
    """Run all services with one route, to the demo PACS."""
    routes = home / "demo-routes.toml"
    routes.write_text(
        ROUTES.format(
            stable_after=STABLE_AFTER_SECONDS,
            pacs=pacs.ae_title,
            host=LOOPBACK,
            port=pacs.port,
            results=results,
        )
    )
    plan = LaunchPlan.load(**_overrides(home, routes, notify))
    with run_services(plan, workers=1, notify=notify, others=others) as services:
        yield services


def _overrides(home: Path, routes: Path, notify: Notify) -> dict[str, Any]:
    """Return settings that keep the demo away from the database and broker of the environment."""
    isolated = {"home": home, "routes_file": routes.absolute(), "database_url": "", "redis_url": ""}
    configured = Installation.load(**isolated)
    ports = {
        "dicom_port": (configured.listener.dicom_port, "listener"),
        "web_port": (configured.web.web_port, "web interface"),
    }
    overrides = {**isolated, "dicom_host": LOOPBACK, "web_host": LOOPBACK}
    for name, (port, service) in ports.items():
        overrides[name] = port
        if port and is_listening(port):
            notify(f"Port {port} is in use: the {service} uses another port")
            overrides[name] = 0  # any free port
    return overrides
