"""`sonogate destination test` at PACSes that Sonogate did not write."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dicom.variants import CATALOGUE
from sonogate.cli import cli
from tests import peers
from tests.workers.pacs import pacs

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
    return tmp_path


def rehearsed(
    home: Path,
    port: int,
    ae_title: str,
    results: Sequence[str] = ("seg", "sr"),
    name: str = "there",
) -> Result:
    """The command, with one destination in the routes file."""
    (home / "routes.toml").write_text(
        f'[[destination]]\nname = "there"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\n'
        f"port = {port}\nresults = {json.dumps(results)}\n"
    )
    return CliRunner().invoke(cli, ["destination", "test", name])


def lines(result: Result, spec: str) -> list[str]:
    """What is said of the objects of one spec."""
    told = (line.partition(" ") for line in result.stdout.splitlines())
    return [words.strip() for first, _, words in told if first == spec]


def test_orthanc_takes_finds_and_gives_back_every_object(
    home: Path, orthanc: peers.Orthanc
) -> None:
    result = rehearsed(home, orthanc.dicom_port, orthanc.ae_title, EVERY)
    assert result.exit_code == 0, result.output
    for spec in EVERY:
        told = lines(result, spec)
        assert told, f"nothing is said of {spec}"
        # it takes label maps, but its C-GET does not know their class
        back = "" if spec == "seg:labelmap" else ", came back with the same bytes"
        assert set(told) == {f"stored, found{back}"}
    assert "C-FIND: offered\nC-GET: offered\n" in result.stdout
    count = sum(len(lines(result, spec)) for spec in EVERY)
    assert f"{count} of {count} objects survived" in result.stdout
    query = json.dumps({"Level": "Instance", "Query": {"PatientID": "SONOGATE-TEST"}}).encode()
    with urllib.request.urlopen(f"{orthanc.url}/tools/find", query, timeout=30) as answer:  # noqa: S310  loopback
        assert len(json.load(answer)) == count


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
