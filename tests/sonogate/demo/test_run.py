"""`sonogate demo --once`: the whole line, as a person starts it."""

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom.images.header import read_header
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.sr.verify import read_back_report
from sonogate.commands.demo import PHANTOM_NOTICE
from sonogate.demo.studies import PHANTOM_STUDIES
from sonogate.services.ports import LOOPBACK
from tests import peers
from tests.sonogate.conftest import ROOT, sonogate


@dataclass(frozen=True)
class Demo:
    """What a demo left behind."""

    home: Path
    document: dict[str, Any]
    progress: str

    def study_uid(self, name: str) -> str:
        (sr,) = self.study(name)["sr"]
        return read_header(Path(sr)).study_instance_uid

    def study(self, name: str) -> dict[str, Any]:
        (found,) = (each for each in self.document["studies"] if each["study"] == name)
        return dict(found)


def run_demo(home: Path) -> Demo:
    """The demo ignores what the environment says about another database and broker.

    The port that it names for the web is taken.
    """
    elsewhere = {
        "SONOGATE_DATABASE_URL": "postgresql+psycopg://nobody@nowhere.invalid/none",
        "SONOGATE_REDIS_URL": "redis://nowhere.invalid:6379/0",
        "SONOGATE_DICOM_PORT": str(peers.free_port()),
    }
    with socket.create_server((LOOPBACK, 0), backlog=50) as taken:
        elsewhere["SONOGATE_WEB_PORT"] = str(taken.getsockname()[1])
        done = subprocess.run(
            sonogate("demo", "--once", "--home", home),
            env={**os.environ, **elsewhere, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert done.stdout.startswith("{"), done.stderr
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 1)
    return Demo(home, document, done.stderr)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("demo") / "var")


def test_every_phantom_comes_back_with_its_results(phantoms: Demo) -> None:
    assert phantoms.document["ok"], phantoms.document
    assert {each["study"] for each in phantoms.document["studies"]} == set(PHANTOM_STUDIES)
    for study in phantoms.document["studies"]:
        assert study["status"] == "delivered"
        assert sum(study["probabilities"].values()) == pytest.approx(1)
        (sr,) = study["sr"]
        said = read_back_report(Path(sr))
        assert said.label == (None if study["undecided"] else study["class"])
        assert bool(study["seg"]) == bool(study["lesions"])
        assert ("no_seg_reason" in study) != bool(study["lesions"])
        for seg in study["seg"] or []:
            assert read_back_segmentation(Path(seg)).segments
    assert phantoms.document["notice"] == PHANTOM_NOTICE


def test_lesions_have_their_size_in_millimeters(phantoms: Demo) -> None:
    sizes = [lesion for each in phantoms.document["studies"] for lesion in each["lesions"]]
    assert sizes
    assert all(0 < size["short_axis_mm"] <= size["long_axis_mm"] for size in sizes)


def test_progress_goes_to_standard_error(phantoms: Demo) -> None:
    assert "accepted 6 of 6 objects" in phantoms.progress
    assert "cyst: delivered" in phantoms.progress
    assert "is in use: the web interface uses another port" in phantoms.progress
