"""`sonogate shadow report`: what it writes, and for whom it can be compared."""

import csv
import io
import json
from pathlib import Path

import pytest

from db import shadows
from db.engine import Database
from db.settings import StoreSettings
from tests.db.compared import BENIGN, MALIGNANT, add_read_image, shadow_of
from tests.db.rows import NOW
from tests.sonogate.conftest import Run


@pytest.fixture
def compared(installed: Path) -> None:
    """Two analyses of which the shadow agrees with one."""
    database = Database(StoreSettings.load().effective_database_url)
    with database.write() as session:
        for said in (BENIGN, MALIGNANT):
            analysis, instance = add_read_image(session, BENIGN)
            shadows.record(session, shadow_of(analysis, instance, said), NOW)
    database.close()


@pytest.mark.usefixtures("compared")
def test_json_counts_and_lists_disagreements(run: Run) -> None:
    document = json.loads(run("shadow", "report").output)
    [preset] = document["presets"]
    assert (preset["analyses"], preset["agreeing"], preset["agreement"]) == (2, 1, 0.5)
    assert {"active": "benign", "shadow": "malignant", "analyses": 1} in preset["counts"]
    [disagreement] = document["disagreements"]
    assert (disagreement["active"], disagreement["shadow"]) == ("benign", "malignant")


@pytest.mark.usefixtures("compared")
def test_csv_has_a_line_for_each_image(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "images.csv"
    assert run("shadow", "report", "--format", "csv", "--output", str(file)).exit_code == 0
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    lines.sort(key=lambda line: line["shadow"])
    assert [line["shadow"] for line in lines] == ["benign", "malignant"]
    assert [line["agrees"] for line in lines] == ["True", "False"]
    assert "Berg" not in file.read_text()


@pytest.mark.usefixtures("installed")
def test_without_a_shadow_the_report_is_empty(run: Run) -> None:
    document = json.loads(run("shadow", "report").output)
    assert document == {"presets": [], "jobs": {}, "disagreements": []}
    assert run("shadow", "report", "--format", "csv").output == ""
