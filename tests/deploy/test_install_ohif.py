"""The script that installs the OHIF viewer, with npm itself."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.peers import find_program, free_port

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "install-ohif.sh"
VERSION = "3.13.2"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that holds nothing but the script."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(SCRIPT, tmp_path / "deploy")
    return tmp_path


def run(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    find_program("npm")
    settings = {"npm_config_fetch_retries": "0", "npm_config_cache": str(checkout / "cache")}
    return subprocess.run(
        [checkout / "deploy" / SCRIPT.name],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_viewer_of_this_version_is_kept(checkout: Path) -> None:
    package = checkout / ".tools" / "ohif" / "package.json"
    package.parent.mkdir(parents=True)
    package.write_text(json.dumps({"name": "@ohif/app", "version": VERSION}, indent=2))
    done = run(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.peer
def test_without_a_network_the_script_says_so(checkout: Path) -> None:
    done = run(checkout, npm_config_registry=f"http://127.0.0.1:{free_port()}/")
    assert done.returncode == 1
    assert "npm could not fetch @ohif/app 3.13.2" in done.stderr
    assert list((checkout / ".tools").iterdir()) == []


@pytest.mark.peer
def test_another_file_than_the_pinned_one_is_refused(checkout: Path) -> None:
    with registry() as url:
        done = run(checkout, npm_config_registry=url)
    assert done.returncode == 1
    assert "not the file whose SHA-512 is in deploy/install-ohif.sh" in done.stderr
    assert list((checkout / ".tools").iterdir()) == []


def test_a_missing_npm_is_named(checkout: Path) -> None:
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "grep", "env"):
        (programs / name).symlink_to(find_program(name))
    done = run(checkout, PATH=str(programs))
    assert done.returncode == 1
    assert "npm is not installed" in done.stderr


@contextmanager
def registry() -> Iterator[str]:
    """An npm registry whose @ohif/app is another package than the real one, and says so."""
    package = archive({"name": "@ohif/app", "version": VERSION})
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            if self.path.endswith(".tgz"):
                self.wfile.write(package)
                return
            address = f"http://{self.headers['Host']}/app.tgz"
            version = {
                "name": "@ohif/app",
                "version": VERSION,
                "dist": {"tarball": address, "integrity": f"sha512-{digest}"},
            }
            document = {"name": "@ohif/app", "versions": {VERSION: version}}
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def archive(package: dict[str, str]) -> bytes:
    content = json.dumps(package).encode()
    member = tarfile.TarInfo("package/package.json")
    member.size = len(content)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.addfile(member, io.BytesIO(content))
    return file.getvalue()
