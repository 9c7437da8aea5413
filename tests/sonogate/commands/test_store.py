"""`sonogate store`."""

from pathlib import Path

from listener.index_service import lock_store
from sonogate.settings import CliSettings
from tests.listener.images import image, save
from tests.sonogate.conftest import Run


def test_rebuild_makes_the_rows_of_all_files(run: Run, installed: Path) -> None:
    files = CliSettings.load().file_store()
    day = files.root / "instances" / "2026-03-04"
    day.mkdir()
    for name in ("a.dcm", "b.dcm"):
        save(image(), day / name)
    (day / "c.dcm").write_text("no DICOM here")
    result = run("store", "rebuild")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [["quarantined", "1"], ["stored", "2"], ["3", "files", "had", "no", "rows."]]
    assert run("store", "rebuild").stdout == "0 files had no rows.\n"


def test_rebuild_does_not_work_beside_an_indexer(run: Run, installed: Path) -> None:
    with lock_store(CliSettings.load().file_store()):
        result = run("store", "rebuild")
    assert result.exit_code == 1
    assert "Stop it first" in result.stderr
