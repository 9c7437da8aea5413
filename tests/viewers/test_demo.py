"""`sonogate demo --ohif`, as a person starts it and looks at what it prints."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from dicom.results.heatmap_sc.build import SERIES_DESCRIPTION as HEATMAPS
from models.phantom import make_phantom
from sonogate.demo.ohif import OhifNotInstalled, check_installed
from tests import peers
from tests.dicom import making
from tests.sonogate.conftest import ROOT, sonogate
from tests.viewers.ohif import open_ohif

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def _installed() -> None:
    peers.find_program("Orthanc", "/usr/sbin/Orthanc")
    try:
        check_installed()
    except OhifNotInstalled as error:
        pytest.skip(str(error))
    if not peers.DICOM_WEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed: `make peers` installs it")


@pytest.fixture
def environment() -> dict[str, str]:
    ports = {name: str(peers.free_port()) for name in ("SONOGATE_DICOM_PORT", "SONOGATE_WEB_PORT")}
    return {**os.environ, **ports, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    still = make_phantom("spiculated", seed=31).image
    return making.write_image(tmp_path / "image.dcm", still, spacing_mm=0.08)


def test_the_printed_address_shows_the_image_and_lists_its_results(
    image: Path, environment: dict[str, str], tmp_path: Path, chromium: Browser
) -> None:
    log = tmp_path / "demo.log"
    command = sonogate("demo", "--ohif", "--data", image, "--home", tmp_path / "var")
    with peers.run_process(command, log=log, env=environment) as demo:
        peers.wait_until(
            lambda: demo.poll() is not None or "Ctrl-C" in log.read_text(),
            seconds=240,
            what="sonogate demo --ohif",
        )
        assert demo.poll() is None, log.read_text()
        (address,) = re.findall(r"^OHIF viewer +(\S+)/$", log.read_text(), re.MULTILINE)
        (page,) = re.findall(r"^ +OHIF +(\S+)$", log.read_text(), re.MULTILINE)
        with open_ohif(chromium, address) as ohif:
            assert page.startswith(address)
            ohif.open_study(page.rpartition("=")[2])
            assert {"B-mode", "AI lesion outlines (UNVERIFIED)", HEATMAPS} < set(ohif.series())
            ohif.load(HEATMAPS)
            assert not ohif.errors
        demo.terminate()  # like Ctrl-C, which background jobs of a shell may ignore
        assert demo.wait(60) == 0


def test_once_prints_the_addresses_as_json(
    image: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        sonogate("demo", "--ohif", "--once", "--data", image, "--home", tmp_path / "var"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (study,) = json.loads(done.stdout)["studies"]
    assert study["ohif"].endswith(f"/viewer?StudyInstanceUIDs={making.STUDY.study_instance_uid}")
