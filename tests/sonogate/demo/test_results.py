"""Progress and results of studies, from reception to the demo PACS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from db.engine import Database
from db.routes_file import RoutesFile
from dicom.results.sr.verify import read_back_report
from sonogate.demo.pacs import DemoPacs
from sonogate.demo.results import NO_LESION, Progress, StudySummary, find_progress, summarize
from sonogate.services.ports import LOOPBACK
from tests.workers.fake_images import FakePredictor, draw_frame, write_image
from tests.workers.gateway import Gateway
from workers.services import LazyPredictor, WorkerServices
from workers.settings import WorkerSettings

STUDY_UID = "1.2.3.4"
ROUTE = '[[route]]\nname = "all"\ndestinations = ["pacs"]\n'


@dataclass
class Setup:
    """A gateway whose jobs run in this process, and the demo PACS."""

    gateway: Gateway
    pacs: DemoPacs
    folder: Path

    def receive(self, *lesions: tuple[int, int, int], black: bool = False) -> None:
        pixels = draw_frame(*lesions)
        path = write_image(self.folder / "a.dcm", np.zeros_like(pixels) if black else pixels)
        self.gateway.receive(path)

    def progress(self) -> Progress:
        with self.gateway.database.read() as session:
            return find_progress(session, STUDY_UID)

    def summary(self) -> StudySummary:
        with self.gateway.database.read() as session:
            return summarize(session, "a", STUDY_UID, self.pacs.path_of)


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    return tmp_path / "routes.toml"


@pytest.fixture
def setup(sqlite_database: Database, tmp_path: Path, routes: Path) -> Iterator[Setup]:
    settings = WorkerSettings(home=tmp_path, min_free_bytes=0)
    store = settings.file_store()
    store.prepare()
    services = WorkerServices(
        settings,
        sqlite_database,
        store,
        LazyPredictor(None, lambda _: FakePredictor()),
        RoutesFile(routes),
    )
    with DemoPacs(tmp_path / "pacs") as pacs:
        routes.write_text(
            f'[[destination]]\nname = "pacs"\nae_title = "{pacs.ae_title}"\n'
            f'host = "{LOOPBACK}"\nport = {pacs.port}\n{ROUTE}'
        )
        yield Setup(Gateway(services), pacs, tmp_path)


def test_a_study_is_followed_from_reception_to_delivery(setup: Setup) -> None:
    assert setup.progress() == Progress("not received yet")
    assert setup.summary().problems == ("not analyzed",)
    setup.receive((100, 80, 20))
    assert setup.progress() == Progress("receiving images")
    setup.gateway.run_due()
    assert setup.progress() == Progress("delivered", finished=True)


def test_results_that_arrived_are_read_back(setup: Setup) -> None:
    setup.receive((100, 80, 20))
    setup.gateway.run_due()
    summary = setup.summary()
    assert (summary.label, summary.problems) == ("malignant", ())
    assert (len(summary.lesions), len(summary.seg), len(summary.sr)) == (1, 1, 1)
    document = summary.to_dict()
    assert document["sr"] == [str(summary.sr[0])]
    assert "no_seg_reason" not in document


def test_an_object_that_did_not_arrive_is_a_problem(setup: Setup) -> None:
    setup.receive((100, 80, 20))
    setup.gateway.run_due()
    setup.summary().sr[0].unlink()
    summary = setup.summary()
    assert summary.problems == ("SR: not received by the demo PACS",)
    assert summary.to_dict()["sr"] is None


def test_a_refused_image_has_a_report_and_no_class(setup: Setup) -> None:
    setup.receive(black=True)
    setup.gateway.run_due()
    summary = setup.summary()
    assert (summary.label, summary.problems) == (None, ())
    assert summary.to_dict()["no_seg_reason"] == NO_LESION
    assert read_back_report(*summary.sr).refusals == ("too-dark",)


def test_a_study_without_a_route_is_not_sent(setup: Setup, routes: Path) -> None:
    routes.write_text(routes.read_text().replace(ROUTE, ""))
    setup.receive()
    setup.gateway.run_due()
    assert setup.progress() == Progress("not sent: no route matches", finished=True)
    assert "stopped at: not sent: no route matches" in setup.summary().problems
