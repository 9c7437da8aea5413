"""TCP ports of this machine."""

import socket

import pytest

from sonogate.services.ports import (
    LOOPBACK,
    WILDCARD_HOSTS,
    connectable_host,
    find_free_port,
    is_listening,
)


def test_a_port_is_listening_while_a_server_is_bound_to_it() -> None:
    port = find_free_port()
    assert not is_listening(port)
    with socket.create_server((LOOPBACK, port)):
        assert is_listening(port)


@pytest.mark.parametrize("host", WILDCARD_HOSTS)
def test_a_server_on_all_interfaces_is_reached_on_loopback(host: str) -> None:
    assert connectable_host(host) == LOOPBACK


def test_a_server_on_one_interface_is_reached_there() -> None:
    assert connectable_host("10.1.2.3") == "10.1.2.3"
