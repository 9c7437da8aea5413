"""`sonogate doctor`: each thing that can be wrong gets its line and its remedy."""

import json
import shutil
import socket
from collections.abc import Iterator
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
from sonogate.demo.pacs import DemoPacs
from sonogate.doctor import network
from sonogate.services import run_file
from sonogate.services.ports import LOOPBACK
from sonogate.services.run_file import RunFile
from tests import peers
from tests.sonogate.conftest import Run


@pytest.fixture(autouse=True)
def _nothing_else_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_DICOM_PORT", str(peers.free_port()))
    monkeypatch.setenv("SONOGATE_WEB_PORT", str(peers.free_port()))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program accepts connections and says nothing DICOM, nothing HTTP."""
    with socket.create_server((LOOPBACK, 0), backlog=50) as server:
        yield server.getsockname()[1]


def found(run: Run, name: str, *more: str) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(run("doctor", "--json", *more).stdout)
    return [finding for finding in findings if finding["check"] == name]


def only(run: Run, name: str) -> dict[str, str]:
    (finding,) = found(run, name)
    return finding


def test_a_fresh_installation_has_nothing_that_fails(run: Run, installed: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "sqlite, schema up to date" in result.output
    assert "digests match" in result.output


def test_a_wrong_setting_is_the_only_finding(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_DICOM_PORT", "many")
    result = run("doctor", "--json")
    (finding,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert finding["check"] == "settings"
    assert "SONOGATE_DICOM_PORT" in finding["message"]


def test_a_missing_database_fails_and_is_not_made(run: Run, home: Path) -> None:
    finding = only(run, "database")
    assert (finding["status"], finding["remedy"]) == ("fail", "run `sonogate setup`")
    assert not home.exists()


def test_a_database_of_another_version_fails(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "sonogate.db").touch()
    finding = only(run, "database")
    assert (finding["status"], finding["remedy"]) == ("fail", "run `sonogate db upgrade`")


def test_a_database_server_that_is_down_fails_without_its_password(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    url = f"postgresql+psycopg://sonogate:hush@{LOOPBACK}:{free_port}/sonogate"
    monkeypatch.setenv("SONOGATE_DATABASE_URL", url)
    result = run("doctor", "--json", "--only", "database")
    (finding,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "cannot connect" in finding["message"]
    assert "hush" not in result.output


def test_jobs_that_were_given_up_are_a_warning(run: Run, installed: Path) -> None:
    database = Database(StoreSettings.load().effective_database_url)
    now = now_utc()
    with database.write() as session:
        dead = Job(kind=JobKind.ANALYZE, key="k", subject_id=uuid4(), status=JobStatus.DEAD_LETTER)
        dead.due_at = dead.created_at = now
        session.add(dead)
    database.close()
    assert only(run, "database")["status"] == "ok"
    assert only(run, "jobs")["status"] == "warn"


def test_a_clock_that_went_back_fails(run: Run, installed: Path) -> None:
    database = Database(StoreSettings.load().effective_database_url)
    with database.write() as session:
        audit.append(
            session, AuditTag.STUDY_VIEWED, actor="test", now=now_utc() + timedelta(hours=1)
        )
    database.close()
    assert only(run, "clock")["status"] == "fail"


def test_a_disk_below_the_watermark_fails(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", str(10**18))
    finding = only(run, "disk")
    assert finding["status"] == "fail"
    assert "SONOGATE_MIN_FREE_BYTES" in finding["remedy"]


def test_a_corrupt_preset_fails_and_names_the_file(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    preset = Path(shutil.copytree(DEFAULT_PRESET, tmp_path / "preset"))
    corrupt = preset / read_preset(preset).networks[-1].file
    with corrupt.open("r+b") as weights:
        weights.seek(1000)
        weights.write(b"\x00broken\x00")
    monkeypatch.setenv("SONOGATE_PRESET_DIR", str(preset))
    finding = only(run, "presets")
    assert finding["status"] == "fail"
    assert corrupt.name in finding["message"]


def test_a_corrupt_shadow_preset_is_a_warning_for_no_result_depends_on_it(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SONOGATE_SHADOW_PRESET_DIR", str(tmp_path))
    findings = found(run, "presets")
    assert [each["status"] for each in findings] == ["ok", "warn"]
    assert "SONOGATE_SHADOW_PRESET_DIR" in findings[1]["remedy"]


def test_a_configured_redis_that_is_down_fails(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("SONOGATE_REDIS_URL", f"redis://{LOOPBACK}:{free_port}/0")
    finding = only(run, "redis")
    assert finding["status"] == "fail"
    assert "SONOGATE_REDIS_URL" in finding["remedy"]


def test_the_redis_of_a_running_up_is_found(run: Run, installed: Path, redis_url: str) -> None:
    with run_file.lock_home(installed):
        run_file.write(installed, RunFile(1, {"redis_url": redis_url}))
        assert only(run, "redis")["message"] == "answers PING"


def test_a_warning_counts_as_a_failure_for_a_check_that_is_asked_for_by_name(
    run: Run, installed: Path
) -> None:
    assert run("doctor", "--only", "listener").exit_code == 1
    assert run("doctor", "--only", "database", "--only", "disk").exit_code == 0


def test_ports_that_other_programs_took_fail(
    run: Run, installed: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(network, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("SONOGATE_DICOM_PORT", str(taken))
    monkeypatch.setenv("SONOGATE_WEB_PORT", str(taken))
    for name in ("listener", "web"):
        finding = only(run, name)
        assert finding["status"] == "fail"
        assert f"port {taken} is used by" in finding["message"]


def test_a_wrong_routes_file_fails_and_names_the_key(run: Run, installed: Path) -> None:
    (installed / "routes.toml").write_text('[[route]]\nname = "r"\ndestinations = ["nowhere"]\n')
    finding = only(run, "routes")
    assert finding["status"] == "fail"
    assert "nowhere" in finding["message"]


def test_a_result_that_cannot_be_made_fails_and_names_the_destination(
    run: Run, installed: Path
) -> None:
    (installed / "routes.toml").write_text(
        '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 1\nresults = ["pdf"]\n'
    )
    finding = only(run, "routes")
    assert finding["status"] == "fail"
    assert (
        "routes.toml: destination 'p': 'pdf' is not a result kind. Use one of: seg, sr"
        in (finding["message"])
    )


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_each_destination_is_called(run: Run, installed: Path, tmp_path: Path) -> None:
    with DemoPacs(tmp_path / "pacs") as pacs:
        table = '[[destination]]\nname = "{}"\nae_title = "{}"\nhost = "127.0.0.1"\nport = {}\n'
        there = table.format("there", pacs.ae_title, pacs.port)
        gone = table.format("gone", "GONE", peers.free_port())
        (installed / "routes.toml").write_text(there + gone)
        findings = found(run, "destinations")
    assert [each["status"] for each in findings] == ["ok", "fail"]
    assert findings[1]["message"].startswith("gone: cannot connect")
