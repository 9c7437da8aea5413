"""Settings of the command line, and the settings of all services loaded together."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from db.settings import PREFIX, StoreSettings
from listener.settings import ListenerSettings
from webui.settings import WebSettings
from workers.settings import WorkerSettings


class CliSettings(StoreSettings):
    """Settings that every command reads."""

    log_format: Literal["text", "json"] = "text"
    """Format of log messages on standard error: `text`, or `json` for one JSON object per line."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum level of log messages: `DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    redis_url: str = ""
    """URL of the message broker. If not set, `sonogate up` starts one on loopback."""


@dataclass(frozen=True)
class Installation:
    """The settings of one installation, by service."""

    cli: CliSettings
    listener: ListenerSettings
    worker: WorkerSettings
    web: WebSettings

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Load all settings from the environment; `overrides` take precedence.

        Raises:
            SettingsError: A variable is invalid. The text names it.
        """
        return cls(
            CliSettings.load(**overrides),
            ListenerSettings.load(**overrides),
            WorkerSettings.load(**overrides),
            WebSettings.load(**overrides),
        )


def to_environment(overrides: dict[str, Any]) -> dict[str, str]:
    """Return `overrides` as environment variables for a child process."""
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in overrides.items()}
