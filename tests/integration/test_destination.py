"""`sonogate destination test` at PACSes that Sonogate did not write."""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from db import migrate
from db.engine import Database
from dicom.commitment import CommitmentReport
from dicom.variants import CATALOGUE
from sonogate.cli import cli
from sonogate.ledger import Ledger
from tests import peers
from tests.workers.pacs import pacs
from workers.query_client import Instance, request_commitment
from workers.store_client import Call, Peer

pytestmark = pytest.mark.peer
EVERY = (
    *CATALOGUE,
    *("seg:every-frame", "seg:fractional", "seg:labelmap"),
    *("sr:comprehensive-3d", "sr:enhanced", "heatmap-sc:jpeg", "key-objects:for-report-attachment"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOGATE_HOME", str(tmp_path))
    monkeypatch.setenv("SONOGATE_DELIVERY_CONNECT_SECONDS", "5")
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
) -> Result:
    """The command, with one destination in the routes file."""
    (home / "routes.toml").write_text(
        f'[[destination]]\nname = "there"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\n'
        f"port = {port}\nresults = {json.dumps(results)}\n"
    )
    return CliRunner().invoke(cli, ["destination", "test", name, "--commit-seconds", str(wait_s)])


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
    for spec in EVERY:
        told = lines(result, spec)
        assert told, f"nothing is said of {spec}"
        # it takes label maps, but its C-GET does not know their class
        back = "" if spec == "seg:labelmap" else ", came back with the same bytes"
        assert set(told) == {f"stored, found{back}, committed"}
    assert "C-FIND: offered\nC-GET: offered\nstorage commitment: offered\n" in result.stdout
    count = sum(len(lines(result, spec)) for spec in EVERY)
    assert f"{count} of {count} objects survived" in result.stdout
    query = json.dumps({"Level": "Instance", "Query": {"PatientID": "SONOGATE-TEST"}}).encode()
    with urllib.request.urlopen(f"{orthanc.url}/tools/find", query, timeout=30) as answer:  # noqa: S310  loopback
        assert len(json.load(answer)) == count


def test_orthanc_does_not_commit_itself_to_what_it_does_not_have(
    home: Path, orthanc: peers.Orthanc, listener_port: int
) -> None:
    orthanc.knows("SONOGATE", listener_port)
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    ledger, lost = Ledger(database, "there"), "1.2.840.9999.1"
    instance = Instance("1.2.840.10008.5.1.4.1.1.66.4", "", "", "", lost)
    call = Call(Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port), "SONOGATE", 5, 20)
    transaction = ledger.ask({lost})
    status, report = request_commitment(
        call, transaction, [instance], arrived=lambda: ledger.answer(transaction), seconds=30
    )
    database.close()
    assert status == 0x0000
    assert report == CommitmentReport(transaction, frozenset(), {lost: 0x0112})


def test_a_report_that_does_not_come_is_told_and_fails_nothing(
    home: Path, orthanc: peers.Orthanc, free_port: int
) -> None:
    orthanc.knows("SONOGATE", free_port)  # nobody listens there
    result = rehearsed(home, orthanc.dicom_port, orthanc.ae_title)
    assert result.exit_code == 0, result.output
    assert "storage commitment: requested, but no report came within 0 s" in result.stdout


def test_a_receiver_without_queries_is_said_to_be_one(home: Path, free_port: int) -> None:
    storescp = peers.program("storescp")
    kept = home / "kept"
    kept.mkdir()
    command = [storescp, "-od", str(kept), "-aet", "STORESCP", str(free_port)]
    with peers.running(command, log=home / "storescp.log"):
        peers.wait_until(lambda: peers.listens(free_port), seconds=20, what="storescp")
        result = rehearsed(home, free_port, "STORESCP")
    assert result.exit_code == 0, result.output
    assert lines(result, "seg") == ["stored"] * 2
    assert lines(result, "sr") == ["stored"]
    for service in ("C-FIND", "C-GET", "storage commitment"):
        assert f"{service}: not offered" in result.stdout
    assert len(list(kept.iterdir())) == 3


def test_an_object_that_is_not_taken_is_named_and_the_exit_code_is_1(home: Path) -> None:
    with pacs() as there:
        results = ("seg", "sr", "sr:enhanced")  # it does not know the class of the last one
        result = rehearsed(home, there.peer.port, there.peer.ae_title, results)
    assert result.exit_code == 1
    assert lines(result, "sr") == ["stored"]
    assert lines(result, "sr:enhanced") == [
        "NOT stored: the peer takes neither this kind of object nor its transfer syntax"
    ]
    assert "3 of 4 objects survived" in result.stdout


def test_what_a_pacs_refuses_is_not_asked_back(home: Path) -> None:
    with pacs() as there:
        there.answer = lambda _: 0xA700
        result = rehearsed(home, there.peer.port, there.peer.ae_title)
    assert result.exit_code == 1
    assert "0 of 3 objects survived" in result.stdout
    assert "C-FIND" not in result.stdout


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
    assert "no destination 'elsewhere' in the routes file: there are there" in result.stderr
