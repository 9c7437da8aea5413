import stat
import threading
from pathlib import Path

import pytest

from webui.secret_key import effective_secret_key
from webui.settings import WebSettings


def test_the_key_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a secret\n")
    monkeypatch.setenv("SONOGATE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert effective_secret_key(WebSettings.load(home=tmp_path)) == "from a secret"


def test_a_key_is_generated_once_for_all_processes_and_readable_only_by_its_owner(
    tmp_path: Path,
) -> None:
    settings = WebSettings(home=tmp_path / "home")
    keys: list[str] = []
    starters = [
        threading.Thread(target=lambda: keys.append(effective_secret_key(settings)))
        for _ in range(8)
    ]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) == 64
    mode = (tmp_path / "home" / "secret_key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret_key"]
