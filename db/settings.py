"""Settings of all services."""

import os
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from db.errors import SettingsError
from db.files import FileStore

PREFIX = "SONOGATE_"
S = TypeVar("S", bound="StoreSettings")
_DRIVERS = ("sqlite", "postgresql+psycopg")


def _check_database_url(url: str) -> str:
    try:
        is_supported = not url or make_url(url).drivername in _DRIVERS
    except (ArgumentError, ValueError):  # its text would contain the password
        is_supported = False
    if not is_supported:
        raise ValueError("should be sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
    return url


class StoreSettings(BaseSettings):
    """Settings that all services share.

    Each variable also has a form ``…_FILE`` with the path of a file that contains the value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    home: Path = Path("var")
    """Directory for the database, received files, results and logs."""
    database_url: Annotated[str, AfterValidator(_check_database_url)] = ""
    """SQLAlchemy URL of the database: `sqlite:///PATH` or
    `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. If not set, SQLite in the home directory."""
    routes_file: Path | None = None
    """TOML file with senders, destinations and routes. If not set, `routes.toml` in the home
    directory."""
    min_free_bytes: int = 1_000_000_000
    """Minimum free disk space, in bytes. With less, C-STORE is answered with status A700 (out of
    resources) and jobs that write files are postponed."""
    backlog_warning_files: Annotated[int, Field(ge=1)] = 1000
    """Number of received files without database rows from which the indexer, `sonogate doctor` and
    the web pages warn that it is behind."""
    max_frame_bytes: Annotated[int, Field(gt=0)] = 256_000_000
    """Maximum size of a decoded frame, in bytes: rows x columns x samples x bits allocated / 8.
    Images with larger frames are stored, but neither analyzed nor displayed."""
    max_image_bytes: Annotated[int, Field(gt=0)] = 2_000_000_000
    """Maximum size of the analyzed frames of an image together, in bytes, each decoded to RGB. Raise
    it together with `SONOGATE_MAX_CINE_FRAMES`."""
    frame_timeout_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Seconds that decoding a compressed frame may take. The frame is then refused, and the process
    that decodes it is replaced."""
    decoder_memory_bytes: Annotated[int, Field(ge=100_000_000)] = 2_000_000_000
    """Memory that a process that decodes compressed frames may take, in bytes, beside its programs.
    A decoder takes several times the size of a frame."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        return init_settings, env_settings, lambda: _read_secret_files(settings_cls)

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
        """Read the settings from the environment. ``overrides`` take precedence.

        Raises:
            SettingsError: names each invalid variable and what it should be, but not its value.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            problems = []
            for item in error.errors(include_input=False):
                text = item["msg"].removeprefix("Value error, ")  # of Sonogate's own validators
                field = "_".join(str(part) for part in item["loc"]).upper()
                # Errors of model validators have no field; their texts name the variables.
                problems.append(f"{PREFIX}{field}: {text}" if field else text)
            raise SettingsError("; ".join(problems)) from None


def _read_secret_files(settings: type[BaseSettings]) -> dict[str, Any]:
    """Return the values of the fields that only have a ``…_FILE`` variable."""
    secrets = {}
    for field in settings.model_fields:
        variable = f"{PREFIX}{field.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if path is not None and variable not in os.environ:
            secrets[field] = _read_secret(f"{variable}_FILE", Path(path))
    return secrets


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    raise SettingsError(f"{variable} names a file that cannot be read: {reason}")
