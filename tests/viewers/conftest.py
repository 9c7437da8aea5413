"""OHIF over Orthanc, started once for all tests of viewers; see ohif.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sonogate.demo.ohif import OhifNotInstalled, serve_ohif
from tests import peers
from tests.viewers.ohif import Ohif, open_ohif


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Orthanc]:
    """Orthanc with DICOMweb. Tests share it: give each its own Study Instance UID."""
    if not peers.DICOM_WEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed: `make peers` installs it")
    with peers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="session")
def ohif_address(pacs: peers.Orthanc) -> Iterator[str]:
    """The address of the viewer on the studies of `pacs`."""
    try:
        with serve_ohif(("127.0.0.1", pacs.http_port)) as address:
            yield address
    except OhifNotInstalled as error:
        pytest.skip(str(error))


@pytest.fixture
def ohif(chromium: Browser, ohif_address: str) -> Iterator[Ohif]:
    """A window of the test's own."""
    with open_ohif(chromium, ohif_address) as window:
        yield window


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pictures of what was seen."""
    return tmp_path_factory.mktemp("screenshots")
