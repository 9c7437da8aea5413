import pytest

from db.errors import SettingsError
from webui.settings import WebSettings


def test_an_invalid_value_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_WEB_PORT", "99999")
    with pytest.raises(SettingsError, match="SONOGATE_WEB_PORT"):
        WebSettings.load()


def test_every_setting_has_a_description() -> None:
    assert not [
        name for name, field in WebSettings.model_fields.items() if not (field.description or "")
    ]
