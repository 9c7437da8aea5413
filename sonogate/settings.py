"""The front door's own settings, and those of every service read together."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from db.settings import PREFIX, StoreSettings
from listener.settings import ListenerSettings
from webui.settings import WebSettings
from workers.settings import WorkerSettings


class FrontDoorSettings(StoreSettings):
    """What holds for every command."""

    log_format: Literal["text", "json"] = "text"
    """Format of log messages on standard error: `text`, or `json` for one JSON object per line."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum level of log messages: `DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    redis_url: str = ""
    """URL of the message broker. If not set, `sonogate up` starts one on loopback."""


@dataclass(frozen=True)
class Installation:
    """The settings of one installation, service by service."""

    front: FrontDoorSettings
    listener: ListenerSettings
    worker: WorkerSettings
    web: WebSettings

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment under `overrides`. Raises SettingsError that names the variable."""
        return cls(
            FrontDoorSettings.load(**overrides),
            ListenerSettings.load(**overrides),
            WorkerSettings.load(**overrides),
            WebSettings.load(**overrides),
        )


def as_environment(overrides: dict[str, Any]) -> dict[str, str]:
    """The variables that make a child process read the same `overrides`."""
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in overrides.items()}
