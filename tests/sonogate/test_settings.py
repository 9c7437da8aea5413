"""Settings of the command line and of all services."""

from pathlib import Path

import pytest

from sonogate.settings import Installation, to_environment


def test_a_child_process_reads_the_overrides_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"home": tmp_path, "dicom_port": 11113, "database_url": "sqlite:///a.db"}
    for name, value in to_environment(overrides).items():
        monkeypatch.setenv(name, value)
    assert Installation.load() == Installation.load(**overrides)
    assert Installation.load().listener.dicom_port == 11113
