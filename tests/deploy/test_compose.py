"""No Docker engine is needed to know that docker-compose.yml is sound."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from db.routes import load_routes
from listener.settings import ListenerSettings
from tests import peers
from webui.settings import WebSettings
from workers.settings import WorkerSettings

TOP = Path(__file__).resolve().parents[2]
DEFAULT_SELECTION = ("setup", "listener", "indexer", "worker", "web")
BEYOND_SETTINGS = {
    "SONOGATE_LOG_FORMAT",  # read by the command line
    "TZ",  # read by the C library
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((TOP / "docker-compose.yml").read_text())
    return content


@pytest.mark.peer
def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    docker_compose = peers.find_program("docker-compose")
    shutil.copy(TOP / "docker-compose.yml", tmp_path)
    subprocess.run([docker_compose, "config", "--quiet"], cwd=tmp_path, check=True)


def test_each_variable_is_a_setting(compose: dict[str, Any]) -> None:
    known = {
        f"SONOGATE_{field.upper()}{suffix}"
        for settings in (ListenerSettings, WorkerSettings, WebSettings)
        for field in settings.model_fields
        for suffix in ("", "_FILE")
    }
    for name in DEFAULT_SELECTION:
        given = set(compose["services"][name]["environment"])
        assert given <= known | BEYOND_SETTINGS, name


def test_each_service_that_stays_up_tells_its_health(compose: dict[str, Any]) -> None:
    staying = set(compose["services"]) - {"setup", "pacs"}
    assert {name for name in staying if "healthcheck" in compose["services"][name]} == staying


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|DATABASE_URL", variable):
                assert variable.endswith("_FILE"), name
                assert value.startswith("/run/secrets/"), name


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (TOP / "deploy" / "Dockerfile").read_text().splitlines()
    assert sum(line.startswith("FROM ") for line in lines) == 2
    assert "USER sonogate" in lines
    assert lines.index("USER sonogate") < next(
        n for n, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )


def test_the_sample_routes_are_valid() -> None:
    routes = load_routes(TOP / "deploy" / "routes.toml")
    assert routes.source_for("US1", "192.168.1.7") is not None
    assert routes.source_for("US1", "203.0.113.1") is None
    assert routes.route_for("US1", "any study") is not None
