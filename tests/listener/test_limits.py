"""Limits of connections and associations."""

import socket
from collections.abc import Iterator

import pytest

from db.intake import Sender
from listener.limits import Limits, OpenConnection, TooManyAssociations


@pytest.fixture
def limits() -> Limits:
    return Limits(pending=3, associations=3, per_address=2, per_sender=1)


@pytest.fixture
def ends() -> Iterator[list[socket.socket]]:
    """The sockets of the peers, in the order of their connections."""
    opened: list[socket.socket] = []
    yield opened
    for end in opened:
        end.close()


def connect(limits: Limits, address: str, ends: list[socket.socket]) -> OpenConnection:
    transport, end = socket.socketpair()
    ends += [end, transport]
    opened = OpenConnection(transport, address)
    limits.add(opened)
    return opened


def is_open(opened: OpenConnection) -> bool:
    opened.transport.setblocking(False)
    try:
        return opened.transport.recv(1) != b""
    except BlockingIOError:
        return True


def test_the_oldest_connection_of_the_busiest_address_makes_room(
    limits: Limits, ends: list[socket.socket]
) -> None:
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"]
    connections = [connect(limits, address, ends) for address in addresses]
    assert [is_open(opened) for opened in connections] == [True, False, True, True]


def test_an_association_is_not_pending_any_more(limits: Limits, ends: list[socket.socket]) -> None:
    first = connect(limits, "10.0.0.1", ends)
    limits.admit(first, Sender("US1", "10.0.0.1"))
    others = [connect(limits, "10.0.0.1", ends) for _ in range(4)]
    assert is_open(first)
    assert [is_open(opened) for opened in others] == [False, True, True, True]


@pytest.mark.parametrize(
    ("held", "asked", "is_admitted"),
    [
        (["A@1"], "A@1", False),
        (["A@1"], "B@1", True),
        (["A@1", "B@1"], "C@1", False),
        (["A@1", "B@1"], "A@2", True),
        (["A@1", "B@1", "A@2"], "A@3", False),
    ],
    ids=["same-sender", "other-sender", "same-address", "other-address", "all"],
)
def test_associations_are_limited(
    limits: Limits, ends: list[socket.socket], held: list[str], asked: str, is_admitted: bool
) -> None:
    for name in held:
        admit(limits, ends, name)
    if is_admitted:
        admit(limits, ends, asked)
        return
    with pytest.raises(TooManyAssociations):
        admit(limits, ends, asked)


def admit(limits: Limits, ends: list[socket.socket], name: str) -> OpenConnection:
    ae_title, _, address = name.partition("@")
    opened = connect(limits, address, ends)
    limits.admit(opened, Sender(ae_title, address))
    return opened


def test_an_ended_association_makes_room(limits: Limits, ends: list[socket.socket]) -> None:
    limits.remove(admit(limits, ends, "A@1"))
    admit(limits, ends, "A@1")
    assert not limits.wait_for_associations(0)


def test_a_closed_connection_can_be_shut_down_again(ends: list[socket.socket]) -> None:
    transport, end = socket.socketpair()
    ends.append(end)
    transport.close()
    OpenConnection(transport, "10.0.0.1").shut_down()
