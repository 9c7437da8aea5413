"""`sonogate doctor`: output and exit codes."""

from pathlib import Path

import pytest

from tests import peers
from tests.sonogate.conftest import Run


@pytest.fixture(autouse=True)
def _free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_DICOM_PORT", str(peers.free_port()))
    monkeypatch.setenv("SONOGATE_WEB_PORT", str(peers.free_port()))


def test_a_fresh_installation_has_nothing_that_fails(run: Run, installed: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "sqlite, schema up to date" in result.output
    assert "digests match" in result.output


def test_a_warning_counts_as_a_failure_for_a_check_that_is_asked_for_by_name(
    run: Run, installed: Path
) -> None:
    assert run("doctor", "--only", "listener").exit_code == 1
    assert run("doctor", "--only", "database", "--only", "disk").exit_code == 0
