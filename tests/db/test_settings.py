"""Settings of all services."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from db.errors import SettingsError
from db.settings import StoreSettings


def test_the_defaults_need_no_other_service() -> None:
    settings = StoreSettings.load()
    assert settings.effective_database_url == f"sqlite:///{Path('var').absolute()}/sonogate.db"
    assert settings.effective_routes_file == Path("var/routes.toml")


def test_settings_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SONOGATE_HOME", str(tmp_path))
    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", "5")
    store = StoreSettings.load().file_store()
    assert (store.root, store.min_free_bytes) == (tmp_path / "files", 5)


def test_an_error_names_the_variable_but_not_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", "s3cret")
    with pytest.raises(SettingsError, match=r"SONOGATE_MIN_FREE_BYTES: .*integer") as caught:
        StoreSettings.load()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://h/n", "postgresql://u:s3cret@h/n", "postgresql+psycopg://u:s3cret@h:x/n"],
)
def test_an_unsupported_database_is_an_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SONOGATE_DATABASE_URL", url)
    with pytest.raises(SettingsError, match=r"^SONOGATE_DATABASE_URL: should be sqlite") as caught:
        StoreSettings.load()
    assert "s3cret" not in str(caught.value)


def test_every_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(StoreSettings):
        other: int = 0

    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", "many")
    monkeypatch.setenv("SONOGATE_OTHER", "none")
    with pytest.raises(SettingsError, match=r"SONOGATE_MIN_FREE_BYTES: .*; SONOGATE_OTHER: "):
        Two.load()


def test_a_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg://u:p@host/name\n")
    monkeypatch.setenv("SONOGATE_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert StoreSettings.load().database_url == "postgresql+psycopg://u:p@host/name"


def test_the_variable_takes_precedence_over_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("sqlite:///file.db")
    monkeypatch.setenv("SONOGATE_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("SONOGATE_DATABASE_URL", "sqlite:///variable.db")
    assert StoreSettings.load().database_url == "sqlite:///variable.db"


@pytest.mark.parametrize("content", [None, b"\xff\xfe not UTF-8"])
def test_a_secret_file_that_cannot_be_read_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    monkeypatch.setenv("SONOGATE_DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(SettingsError, match=r"^SONOGATE_DATABASE_URL_FILE names a file"):
        StoreSettings.load()


def test_arguments_take_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOGATE_MIN_FREE_BYTES", "5")
    assert StoreSettings.load(min_free_bytes=7).min_free_bytes == 7


def test_settings_are_frozen() -> None:
    settings = StoreSettings.load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.min_free_bytes = 3


def test_every_field_has_a_description() -> None:
    assert all(field.description for field in StoreSettings.model_fields.values())
