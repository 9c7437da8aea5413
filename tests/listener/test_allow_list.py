"""Addresses of sources and destinations."""

import socket
from pathlib import Path
from threading import Event, Thread

import pytest

from db.intake import Sender
from db.routes_file import RoutesFile
from listener.allow_list import AllowList
from tests import peers

ROUTES = """
[[source]]
ae_title = "US1"
addresses = ["10.0.0.0/8"]

[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "192.0.2.7"
port = 104

[[destination]]
name = "pacs"
ae_title = "PACS"
host = "localhost"
port = 104

[[destination]]
name = "folder"
kind = "folder"
"""


@pytest.fixture
def allow_list(tmp_path: Path) -> AllowList:
    (tmp_path / "routes.toml").write_text(ROUTES)
    return AllowList(RoutesFile(tmp_path / "routes.toml"))


@pytest.mark.parametrize(
    ("address", "is_admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1", False),  # of a host that is not resolved yet
    ],
)
def test_addresses_of_sources_and_of_destinations_are_admitted(
    allow_list: AllowList, address: str, is_admitted: bool
) -> None:
    assert allow_list.admits_address(address) == is_admitted


def test_a_destination_is_recognized_by_ae_title_and_address(allow_list: AllowList) -> None:
    assert allow_list.is_destination(Sender("ARCHIVE", "192.0.2.7"))
    assert not allow_list.is_destination(Sender("ARCHIVE", "10.1.2.3"))
    assert not allow_list.is_destination(Sender("PACS", "192.0.2.7"))
    assert not allow_list.find_source(Sender("ARCHIVE", "192.0.2.7"))


def test_the_host_of_a_destination_is_resolved_by_another_thread(allow_list: AllowList) -> None:
    assert not allow_list.is_destination(Sender("PACS", "127.0.0.1"))
    stop = Event()
    thread = Thread(target=allow_list.keep_resolved, args=(stop,))
    thread.start()
    peers.wait_until(
        lambda: allow_list.is_destination(Sender("PACS", "127.0.0.1")), seconds=5, what="the host"
    )
    stop.set()
    allow_list.wake()
    thread.join(5)
    assert not thread.is_alive()


def test_a_host_keeps_its_addresses_while_it_cannot_be_resolved(
    allow_list: AllowList, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_list.resolve()

    def fail(*_args: object, **_options: object) -> None:
        raise socket.gaierror("the name server is away")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    allow_list.resolve()
    assert allow_list.is_destination(Sender("PACS", "127.0.0.1"))
