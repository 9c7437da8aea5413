"""The server of the OHIF viewer. tests/viewers opens the viewer itself."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sonogate.demo.ohif import OhifNotInstalled, serve_ohif, study_url
from tests import peers
from tests.dicom import making

SECRET = "not for the browser"


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """A folder as the viewer's, beside a file that the browser must not get."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("the viewer")
    (folder / "assets" / "logo.svg").write_text("the logo")
    (folder / "app-config.js").write_text("the default")
    (tmp_path / "secret.txt").write_text(SECRET)
    return folder


@pytest.fixture
def address(distribution: Path) -> Iterator[str]:
    """The viewer, while nobody listens on the port of its DICOMweb server."""
    with serve_ohif(("127.0.0.1", peers.free_port()), distribution=distribution) as address:
        yield address


def ask(
    address: str,
    path: str,
    method: str = "GET",
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[HTTPResponse, str]:
    """Send a path as it is: urllib would tidy it."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_pages_of_the_application_and_its_files_are_served(address: str) -> None:
    for path in ("/", "/viewer?StudyInstanceUIDs=1.2", "/assets", "/no/such/file"):
        answer, text = ask(address, path)
        assert (answer.status, text) == (200, "the viewer")
    answer, text = ask(address, "/assets/logo.svg")
    assert (answer.getheader("Content-Type"), text) == ("image/svg+xml", "the logo")


def test_every_answer_isolates_the_page(address: str) -> None:
    for path in ("/", "/app-config.js", "/dicom-web/studies", "/assets/logo.svg"):
        answer, _ = ask(address, path)
        assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
        assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"


def test_the_configuration_names_the_data_source(address: str) -> None:
    _, text = ask(address, "/app-config.js")
    configuration = json.loads(text.removeprefix("window.config = ").removesuffix(";"))
    (source,) = configuration["dataSources"]
    assert source["configuration"]["wadoRoot"] == "/dicom-web"
    assert configuration["defaultDataSourceName"] == source["sourceName"]


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt"],
)
def test_no_path_leads_out_of_the_viewer(address: str, path: str) -> None:
    _, text = ask(address, path)
    assert text == "the viewer"


@pytest.mark.parametrize("path", ["/dicom-web/../instances", "/dicom-web/%2e%2e/instances"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_dicomweb_is_forwarded(address: str, path: str, method: str) -> None:
    answer, _ = ask(address, path, method)
    assert answer.status == 404
    answer, _ = ask(address, "/instances", "POST", "x")
    assert answer.status == 404


def test_a_foreign_name_of_this_machine_is_refused(address: str) -> None:
    for path in ("/", "/dicom-web/studies"):
        answer, _ = ask(address, path, headers={"Host": "attacker.example"})
        assert answer.status == 403


def test_a_dicomweb_server_that_is_not_there_is_a_bad_gateway(address: str) -> None:
    answer, text = ask(address, "/dicom-web/studies")
    assert (answer.status, text) == (502, "The DICOMweb server is not there.")


def test_a_viewer_that_is_not_installed_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(OhifNotInstalled, match=r"deploy/install-ohif\.sh"),
        serve_ohif(("127.0.0.1", 1), distribution=tmp_path),
    ):
        pass


def test_the_port_is_free_when_the_block_ends(distribution: Path) -> None:
    with serve_ohif(("127.0.0.1", 1), distribution=distribution) as address:
        port = urlsplit(address).port
    assert port is not None
    assert not peers.is_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.peer
def test_addresses_in_answers_of_orthanc_lead_through_the_viewer(
    distribution: Path, tmp_path: Path
) -> None:
    study = replace(making.STUDY, study_instance_uid="1.2.3")
    image = making.write_image(tmp_path / "image.dcm", study=study)
    with (
        peers.orthanc(tmp_path) as pacs,
        serve_ohif(("127.0.0.1", pacs.http_port), distribution=distribution) as address,
    ):
        pacs.store(image)
        answer, text = ask(address, "/dicom-web/studies", headers={"Accept": "application/json"})
        assert answer.status == 200
        (found,) = json.loads(text)
        assert found["00081190"]["Value"] == [f"{address}/dicom-web/studies/1.2.3"]


def test_the_address_of_a_study_holds_its_uid() -> None:
    page = study_url("http://127.0.0.1:3000", "1.2.3")
    assert page == "http://127.0.0.1:3000/viewer?StudyInstanceUIDs=1.2.3"
