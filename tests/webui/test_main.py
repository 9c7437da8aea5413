import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from db import migrate
from db.engine import Database
from tests import peers

SERVE = """
import sys
from pathlib import Path
from webui.main import run
from webui.settings import WebSettings
run(WebSettings(home=Path(sys.argv[1]), web_port=int(sys.argv[2])))
"""


def test_the_service_serves_until_sigterm(tmp_path: Path, free_port: int) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sonogate.db'}")
    migrate.upgrade(database.engine)
    database.close()
    command = [sys.executable, "-c", SERVE, str(tmp_path), str(free_port)]
    with peers.run_process(command, log=tmp_path / "log") as process:
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=60, what="the web service")
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/readyz") as answer:
            assert answer.status == 200
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_service_starts_without_tensorflow() -> None:
    code = "import sys, webui.main; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert finished.stdout.strip() == "False"
