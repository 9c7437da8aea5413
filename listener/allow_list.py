"""Who may open associations: the sources of the routes file and the hosts of its destinations."""

import logging
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Event, Lock
from typing import Final

from db.intake import Sender
from db.routes import Routes, Source
from db.routes_file import RoutesFile

logger = logging.getLogger(__name__)

RESOLVE_INTERVAL_SECONDS: Final = 60.0

Address = IPv4Address | IPv6Address


class AllowList:
    """Answers from memory: names of hosts are resolved in another thread by `keep_resolved`.

    A destination may open associations from the addresses that its `host` resolves to, since a
    PACS reports storage commitment on associations of its own.
    """

    def __init__(self, routes: RoutesFile) -> None:
        self._routes = routes
        self._lock = Lock()
        self._resolved: dict[str, frozenset[Address]] = {}
        self._unresolved = Event()

    def admits_address(self, address: str) -> bool:
        """Return whether any source or destination may connect from this address."""
        routes = self._routes.current()
        ip = _parse(address)
        if any(ip in network for source in routes.source for network in source.addresses):
            return True
        return any(ip in self._find_addresses(host) for _, host in _list_destinations(routes))

    def find_source(self, sender: Sender, certificate_subject: str = "") -> Source | None:
        """Return the first source that matches the sender, None if it may not store."""
        return self._routes.current().source_for(
            sender.calling_ae, sender.address, certificate_subject
        )

    def is_destination(self, sender: Sender) -> bool:
        """Return whether a destination has this AE title and address."""
        ip = _parse(sender.address)
        return any(
            ae_title == sender.calling_ae and ip in self._find_addresses(host)
            for ae_title, host in _list_destinations(self._routes.current())
        )

    def keep_resolved(self, stop: Event) -> None:
        """Resolve the hosts of all destinations now, every minute, and when a new one appears."""
        while not stop.is_set():
            self._unresolved.clear()
            self.resolve()
            self._unresolved.wait(RESOLVE_INTERVAL_SECONDS)

    def wake(self) -> None:
        """Make `keep_resolved` look at its stop event."""
        self._unresolved.set()

    def resolve(self) -> None:
        """Resolve the hosts of all destinations. A host that fails keeps its last addresses."""
        resolved = {}
        for _, host in _list_destinations(self._routes.current()):
            try:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                logger.warning("the host of a destination cannot be resolved")
                resolved[host] = self._resolved.get(host, frozenset())
            else:
                resolved[host] = frozenset(_parse(str(entry[4][0])) for entry in found)
        with self._lock:
            self._resolved = resolved

    def _find_addresses(self, host: str) -> frozenset[Address]:
        try:
            return frozenset({_parse(host)})
        except ValueError:  # a name
            with self._lock:
                addresses = self._resolved.get(host)
        if addresses is None:
            self._unresolved.set()
            return frozenset()
        return addresses


def _list_destinations(routes: Routes) -> list[tuple[str, str]]:
    """Return AE title and host of every destination that has both."""
    entries = [
        (str(table.settings.get("ae_title", "")).strip(), str(table.settings.get("host", "")))
        for table in routes.destination
    ]
    return [(ae_title, host) for ae_title, host in entries if ae_title and host]


def _parse(address: str) -> Address:
    """Return an address without zone; an IPv4 address also where it is mapped to IPv6.

    Raises:
        ValueError: It is not an address.
    """
    ip = ip_address(address.split("%")[0])
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or ip
    return ip
