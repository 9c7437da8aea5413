"""Settings that every service shares: where state lives."""

import os
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from db.errors import SettingsError
from db.files import FileStore

PREFIX = "SONOGATE_"
S = TypeVar("S", bound="StoreSettings")
_DRIVERS = ("sqlite", "postgresql+psycopg")


def _database_url(url: str) -> str:
    try:
        known = not url or make_url(url).drivername in _DRIVERS
    except (ArgumentError, ValueError):  # its text would quote the password
        known = False
    if not known:
        raise ValueError("should be sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
    return url


class StoreSettings(BaseSettings):
    """State of one installation. Each variable may also be given as ``…_FILE``, naming a file
    that holds the value, as container secrets do.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    home: Path = Path("var")
    """Directory for the database, received files, results and logs."""
    database_url: Annotated[str, AfterValidator(_database_url)] = ""
    """SQLAlchemy URL of the database: `sqlite:///PATH` or
    `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. If not set, SQLite in the home directory."""
    routes_file: Path | None = None
    """TOML file with senders, destinations and routes. If not set, `routes.toml` in the home
    directory."""
    min_free_bytes: int = 1_000_000_000
    """Minimum free disk space, in bytes. With less, C-STORE is answered with status A700 (out of
    resources) and jobs that write files are postponed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        return init_settings, env_settings, _secrets_in_files(settings_cls)

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home.absolute() / 'sonogate.db'}"

    @property
    def effective_routes_file(self) -> Path:
        return self.routes_file or self.home / "routes.toml"

    def file_store(self) -> FileStore:
        return FileStore(self.home.absolute() / "files", self.min_free_bytes)

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment.

        Raises:
            SettingsError: names each variable that is wrong, what it should be, and never its value.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def _secrets_in_files(settings: type[BaseSettings]) -> Any:
    def read() -> dict[str, Any]:
        found = {}
        for field in settings.model_fields:
            variable = f"{PREFIX}{field.upper()}_FILE"
            if variable in os.environ and f"{PREFIX}{field.upper()}" not in os.environ:
                found[field] = _read_secret(variable, Path(os.environ[variable]))
        return found

    return read


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"{variable} names a file that cannot be read: {reason}") from None


def _explain(error: ValidationError) -> str:
    return "; ".join(_line(item) for item in error.errors(include_input=False))


def _line(item: ErrorDetails) -> str:
    field = "_".join(str(part) for part in item["loc"]).upper()
    text = item["msg"].removeprefix("Value error, ")  # of rules of ours
    # a rule over several fields has no place of its own: its text names the variables
    return f"{PREFIX}{field}: {text}" if field else text
