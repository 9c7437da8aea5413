"""Ports of this machine."""

import socket

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  compared with, never bound


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def reachable(host: str) -> str:
    """Where a client on this machine finds a server that listens on `host`."""
    return LOOPBACK if host in EVERYWHERE else host


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether a program accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
