import stat
import threading
from pathlib import Path

import pytest

from db.errors import SettingsError
from webui.secret_key import effective_secret_key
from webui.settings import WebSettings


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_WEB_PORT", "99999")
    with pytest.raises(SettingsError, match="SONOGATE_WEB_PORT"):
        WebSettings.load()


def test_the_key_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a secret\n")
    monkeypatch.setenv("SONOGATE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert effective_secret_key(WebSettings.load(home=tmp_path)) == "from a secret"


def test_a_key_is_made_once_for_all_processes_and_nobody_else_reads_it(tmp_path: Path) -> None:
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


def test_every_setting_says_what_it_means() -> None:
    assert not [
        name for name, field in WebSettings.model_fields.items() if not (field.description or "")
    ]
