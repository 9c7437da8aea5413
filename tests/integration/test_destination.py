"""`sonogate destination test` at PACSes that Sonogate did not write."""

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelGet,
)
from sqlalchemy import select

from db import migrate
from db.engine import Database
from db.schema import AuditEvent
from dicom.results.catalogue import CATALOGUE
from sonogate.cli import cli
from sonogate.destination_test.commitment_requests import CommitmentRequests
from tests import peers
from tests.workers.archive import Archive, served
from tests.workers.pacs import CLASSES, pacs
from workers.peers.query_scu import Instance, request_commitment
from workers.peers.store_scu import Call, Peer

pytestmark = pytest.mark.peer
EVERY = (
    *CATALOGUE,
    *("seg:every-frame", "seg:fractional", "seg:labelmap"),
    *("sr:comprehensive-3d", "sr:enhanced", "heatmap-sc:jpeg", "key-objects:for-report-attachment"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOGATE_HOME", str(tmp_path))
    monkeypatch.setenv("SONOGATE_DELIVERY_CONNECT_TIMEOUT_SECONDS", "5")
    database = Database(f"sqlite:///{tmp_path / 'sonogate.db'}")
    migrate.upgrade(database.engine)
    database.close()
    return tmp_path


def rehearsed(
    home: Path,
    port: int,
    ae_title: str,
    results: Sequence[str] = ("seg", "sr"),
    name: str = "there",
    wait_s: float = 0,
    options: Sequence[str] = (),
) -> Result:
    """The command, with one destination in the routes file."""
    (home / "routes.toml").write_text(
        f'[[destination]]\nname = "there"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\n'
        f"port = {port}\nresults = {json.dumps(results)}\n"
    )
    command = ["destination", "test", name, "--commit-seconds", str(wait_s), *options]
    return CliRunner().invoke(cli, command)


def lines(result: Result, spec: str) -> list[str]:
    """What is said of the objects of one spec."""
    told = (line.partition(" ") for line in result.stdout.splitlines())
    return [words.strip() for first, _, words in told if first == spec]


@pytest.fixture
def listener_port(home: Path) -> Iterator[int]:
    """Of a process of its own, as in a hospital: it changes how the whole process receives."""
    port = peers.free_port()
    settings = {"SONOGATE_DICOM_PORT": str(port), "SONOGATE_MIN_FREE_BYTES": "0"}
    command = [sys.executable, "-m", "sonogate", "listener"]
    with peers.running(command, log=home / "listener.log", env={**os.environ, **settings}):
        peers.wait_until(lambda: peers.listens(port), seconds=60, what="the listener")
        yield port


def test_orthanc_takes_finds_gives_back_and_commits_itself_to_every_object(
    home: Path, orthanc: peers.Orthanc, listener_port: int
) -> None:
    orthanc.knows("SONOGATE", listener_port)
    result = rehearsed(home, orthanc.dicom_port, orthanc.ae_title, EVERY, wait_s=30)
    assert result.exit_code == 0, result.output
    signed = [f"signed/{spec}" for spec in EVERY if spec.startswith(("seg", "sr"))]
    for spec in ("image", *EVERY, *signed):
        told = lines(result, spec)
        assert told, f"nothing is said of {spec}"
        # it takes label maps, but its C-GET does not know their class
        back = "" if spec.endswith("seg:labelmap") else ", retrieved with identical bytes"
        assert set(told) == {f"stored, found{back}, committed"}
    assert "C-FIND: offered\nC-GET: offered\nstorage commitment: offered\n" in result.stdout
    count = sum(len(lines(result, spec)) for spec in ("image", *EVERY, *signed))
    assert f"{count} of {count} objects passed" in result.stdout
    (study,) = re.findall(r"patient ID SONOGATE-TEST, study ([0-9.]+)", result.stdout)
    there = kept_by(orthanc, study)
    assert len(there) == count
    assert_images_are_there_for(there)


def kept_by(orthanc: peers.Orthanc, study: str) -> list[Dataset]:
    """What it has of a study."""
    wanted = {"Level": "Instance", "Query": {"StudyInstanceUID": study}}
    query = json.dumps(wanted).encode()
    with urllib.request.urlopen(f"{orthanc.url}/tools/find", query, timeout=30) as answer:  # noqa: S310  loopback
        return [_file_of(orthanc, instance) for instance in json.load(answer)]


def _file_of(orthanc: peers.Orthanc, instance: str) -> Dataset:
    url = f"{orthanc.url}/instances/{instance}/file"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  loopback
        return dcmread(BytesIO(answer.read()))


def assert_images_are_there_for(there: list[Dataset]) -> None:
    """Every image that a result names can be shown at the PACS, and two reports are verified by a
    reader, who names the one of the AI before it.
    """
    images = {each.SOPInstanceUID for each in there if each.Modality == "US"}
    sources = {
        image.ReferencedSOPInstanceUID
        for each in there
        for series in each.get("ReferencedSeriesSequence", ())
        for image in series.get("ReferencedInstanceSequence", ())
    }
    assert sources
    assert sources == images
    reports = {each.SOPInstanceUID: each for each in there if "VerificationFlag" in each}
    verified = [each for each in reports.values() if each.VerificationFlag == "VERIFIED"]
    assert len(verified) == len([spec for spec in EVERY if spec.startswith("sr")])
    for report in verified:
        (study,) = report.PredecessorDocumentsSequence
        (before,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert reports[before.ReferencedSOPInstanceUID].VerificationFlag == "UNVERIFIED"


def test_the_images_may_be_left_out(home: Path, orthanc: peers.Orthanc, free_port: int) -> None:
    orthanc.knows("SONOGATE", free_port)
    result = rehearsed(home, orthanc.dicom_port, orthanc.ae_title, options=["--without-images"])
    assert result.exit_code == 0, result.output
    assert lines(result, "image") == []
    assert lines(result, "signed/sr") == ["stored, found, retrieved with identical bytes"]
    assert "5 of 5 objects passed" in result.stdout


def test_orthanc_does_not_commit_itself_to_what_it_does_not_have(
    home: Path, orthanc: peers.Orthanc, listener_port: int
) -> None:
    orthanc.knows("SONOGATE", listener_port)
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    peer, lost = Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port), "1.2.840.9999.1"
    instance = Instance("1.2.840.10008.5.1.4.1.1.66.4", "", "", "", lost)
    call, requests = Call(peer, "SONOGATE", 5, 20), CommitmentRequests(database, "there", peer)
    status, report = request_commitment(call, requests, [instance], seconds=30)
    database.close()
    assert status == 0x0000
    assert report is not None
    assert (report.committed, report.failed) == (frozenset(), {lost: 0x0112})


def test_a_report_that_does_not_come_is_told_and_fails_nothing(
    home: Path, orthanc: peers.Orthanc, free_port: int
) -> None:
    orthanc.knows("SONOGATE", free_port)  # nobody listens there
    result = rehearsed(home, orthanc.dicom_port, orthanc.ae_title)
    assert result.exit_code == 0, result.output
    assert "storage commitment: no report within 0 s" in result.stdout


def test_a_receiver_without_queries_is_said_to_be_one(home: Path, free_port: int) -> None:
    storescp = peers.program("storescp")
    kept = home / "kept"
    kept.mkdir()
    command = [storescp, "-od", str(kept), "-aet", "STORESCP", str(free_port)]
    with peers.running(command, log=home / "storescp.log"):
        peers.wait_until(lambda: peers.listens(free_port), seconds=20, what="storescp")
        result = rehearsed(home, free_port, "STORESCP")
    assert result.exit_code == 0, result.output
    assert lines(result, "image") == lines(result, "seg") == ["stored"] * 2
    for spec in ("sr", "signed/seg", "signed/sr"):
        assert lines(result, spec) == ["stored"]
    for service in ("C-FIND", "C-GET", "storage commitment"):
        assert f"{service}: not offered" in result.stdout
    assert len(list(kept.iterdir())) == 7
    assert commitments_told(home) == []


def commitments_told(home: Path) -> list[str]:
    """Tags in the audit chain, in order."""
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    with database.read() as session:
        told = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)).all()
    database.close()
    return [tag for tag in told if ":commitment:" in tag]


def test_an_object_that_is_not_taken_is_named_and_the_exit_code_is_1(home: Path) -> None:
    with pacs() as there:
        results = ("seg", "sr", "sr:enhanced")  # it does not know the class of the last one
        result = rehearsed(home, there.peer.port, there.peer.ae_title, results)
    assert result.exit_code == 1
    assert lines(result, "sr") == ["stored"]
    assert lines(result, "sr:enhanced") == [
        "NOT stored: the peer takes neither this kind of object nor its transfer syntax"
    ]
    assert lines(result, "signed/sr:enhanced") == lines(result, "sr:enhanced")
    assert "7 of 9 objects passed" in result.stdout


def test_what_a_pacs_refuses_is_not_asked_back(home: Path) -> None:
    with pacs() as there:
        there.answer = lambda _: 0xA700
        result = rehearsed(home, there.peer.port, there.peer.ae_title)
    assert result.exit_code == 1
    assert "0 of 7 objects passed" in result.stdout
    assert "C-FIND" not in result.stdout


def test_what_came_back_otherwise_is_named_and_the_exit_code_is_1(home: Path) -> None:
    def coerce(dataset: Dataset) -> None:
        dataset.PatientName = "SONOGATE^TEST"
        for number in range(13):
            dataset.add_new(0x00091001 + number, "LO", "x")

    archive = Archive(coerce=coerce, store_status=0xB000, sends=CLASSES)
    with served(archive, StudyRootQueryRetrieveInformationModelGet) as call:
        result = rehearsed(home, call.peer.port, call.peer.ae_title, ["sr"])
    assert result.exit_code == 1
    words = "stored with a warning (status 0xB000), retrieved with DIFFERENT bytes"
    assert lines(result, "sr") == lines(result, "signed/sr") == [words]
    told = result.stdout.partition("\nsr ")[2].splitlines()[1:14]
    assert told[0] == "    (0009,1001): added, 'x'"
    assert told[-1] == "    and 2 more"


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_absent_pacs_is_one_clear_line(home: Path, free_port: int) -> None:
    result = rehearsed(home, free_port, "GONE")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"sonogate: nothing answers at 127.0.0.1:{free_port}")


def test_a_name_that_is_not_in_the_file_is_told_with_those_that_are(
    home: Path, free_port: int
) -> None:
    result = rehearsed(home, free_port, "PACS", name="elsewhere")
    assert result.exit_code == 1
    assert (
        "no destination 'elsewhere' in the routes file; known destinations: there" in result.stderr
    )
