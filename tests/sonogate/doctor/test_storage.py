"""Checks of database, disk, clock, jobs and presets."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from db import audit
from db.audit_tags import AuditTag
from db.engine import Database
from db.schema import Job, JobKind, JobStatus
from db.settings import StoreSettings
from db.types import now_utc
from models.preset import DEFAULT_PRESET, read_preset
from sonogate.services.ports import LOOPBACK
from tests.sonogate.conftest import Run
from tests.sonogate.doctor.conftest import run_check, run_single


def test_a_missing_database_fails_and_is_not_made(run: Run, home: Path) -> None:
    result = run_single(run, "database")
    assert (result["status"], result["remedy"]) == ("fail", "run `sonogate setup`")
    assert not home.exists()


def test_a_database_of_another_version_fails(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "sonogate.db").touch()
    result = run_single(run, "database")
    assert (result["status"], result["remedy"]) == ("fail", "run `sonogate db upgrade`")


def test_a_database_server_that_is_down_fails_without_its_password(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    url = f"postgresql+psycopg://sonogate:hush@{LOOPBACK}:{free_port}/sonogate"
    monkeypatch.setenv("SONOGATE_DATABASE_URL", url)
    done = run("doctor", "--json", "--only", "database")
    (result,) = json.loads(done.stdout)
    assert done.exit_code == 1
    assert "cannot connect" in result["message"]
    assert "hush" not in done.output


def test_jobs_that_were_given_up_are_a_warning(run: Run, installed: Path) -> None:
    database = Database(StoreSettings.load().effective_database_url)
    now = now_utc()
    with database.write() as session:
        dead = Job(kind=JobKind.ANALYZE, key="k", subject_id=uuid4(), status=JobStatus.DEAD_LETTER)
        dead.due_at = dead.created_at = now
        session.add(dead)
    database.close()
    assert run_single(run, "database")["status"] == "ok"
    assert run_single(run, "jobs")["status"] == "warn"


def test_a_clock_that_went_back_fails(run: Run, installed: Path) -> None:
    database = Database(StoreSettings.load().effective_database_url)
    with database.write() as session:
        audit.append(
            session, AuditTag.STUDY_VIEWED, actor="test", now=now_utc() + timedelta(hours=1)
        )
    database.close()
    assert run_single(run, "clock")["status"] == "fail"


def test_a_disk_below_the_watermark_fails(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", str(10**18))
    result = run_single(run, "disk")
    assert result["status"] == "fail"
    assert "SONOGATE_MIN_FREE_BYTES" in result["remedy"]


def test_a_corrupt_preset_fails_and_names_the_file(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    preset = Path(shutil.copytree(DEFAULT_PRESET, tmp_path / "preset"))
    corrupt = preset / read_preset(preset).networks[-1].file
    with corrupt.open("r+b") as weights:
        weights.seek(1000)
        weights.write(b"\x00broken\x00")
    monkeypatch.setenv("SONOGATE_PRESET_DIR", str(preset))
    result = run_single(run, "presets")
    assert result["status"] == "fail"
    assert corrupt.name in result["message"]


def test_a_corrupt_shadow_preset_is_a_warning_for_no_result_depends_on_it(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SONOGATE_SHADOW_PRESET_DIR", str(tmp_path))
    results = run_check(run, "presets")
    assert [each["status"] for each in results] == ["ok", "warn"]
    assert "SONOGATE_SHADOW_PRESET_DIR" in results[1]["remedy"]
