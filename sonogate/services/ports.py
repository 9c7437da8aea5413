"""TCP ports of this machine."""

import socket

LOOPBACK = "127.0.0.1"
WILDCARD_HOSTS = ("", "0.0.0.0", "::")  # noqa: S104  compared with, never bound


def find_free_port() -> int:
    """Return a loopback port that no program listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def connectable_host(host: str) -> str:
    """Return the address at which a local client reaches a server that is bound to `host`."""
    return LOOPBACK if host in WILDCARD_HOSTS else host


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Return whether a program accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
