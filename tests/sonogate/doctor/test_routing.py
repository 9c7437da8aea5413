"""Checks of the routes file and of destinations."""

from pathlib import Path

import pytest

from sonogate.demo.pacs import DemoPacs
from tests import peers
from tests.sonogate.conftest import Run
from tests.sonogate.doctor.conftest import run_check, run_single


def test_a_wrong_routes_file_fails_and_names_the_key(run: Run, installed: Path) -> None:
    (installed / "routes.toml").write_text('[[route]]\nname = "r"\ndestinations = ["nowhere"]\n')
    result = run_single(run, "routes")
    assert result["status"] == "fail"
    assert "nowhere" in result["message"]


def test_a_result_that_cannot_be_made_fails_and_names_the_destination(
    run: Run, installed: Path
) -> None:
    (installed / "routes.toml").write_text(
        '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\nresults = ["pdf"]\n'
    )
    result = run_single(run, "routes")
    assert result["status"] == "fail"
    assert (
        "routes.toml: destination 'p': 'pdf' is not a result kind. Use one of: seg, sr"
        in (result["message"])
    )


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_each_destination_is_called(run: Run, installed: Path, tmp_path: Path) -> None:
    with DemoPacs(tmp_path / "pacs") as pacs:
        table = '[[destination]]\nname = "{}"\nae_title = "{}"\nhost = "127.0.0.1"\nport = {}\n'
        there = table.format("there", pacs.ae_title, pacs.port)
        gone = table.format("gone", "GONE", peers.free_port())
        (installed / "routes.toml").write_text(there + gone)
        results = run_check(run, "destinations")
    assert [each["status"] for each in results] == ["ok", "fail"]
    assert results[1]["message"].startswith("gone: cannot connect")
