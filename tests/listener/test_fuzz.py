"""Mutated PDU streams, and legal and illegal sequences beside pynetdicom's acceptor.

Whatever a peer sends: no exception leaves a thread, nothing remains, and the next sender is served.
"""

import gc
import logging
import random
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity

from db.engine import Database
from listener.negotiation import build_supported_contexts
from listener.upper_layer import (
    PDU_HEADER,
    AbortReason,
    AbortSource,
    PduType,
    Rejection,
    build_abort,
    build_fragment,
    build_rejection,
    build_release,
)
from tests import peers
from tests.listener.conftest import RunningListener, StartListener
from tests.listener.images import image
from tests.listener.raw_peer import (
    ULTRASOUND_ID,
    VERIFICATION_ID,
    RawPeer,
    build_data,
    build_echo,
    build_request,
    build_store,
    connect,
)
from tests.listener.sending import send

Stream = tuple[bytes, ...]


def build_streams() -> list[Stream]:
    """Return valid conversations, one PDU after the other."""
    dataset = image(size_bytes=64 * 300)
    store = (build_store(dataset), *build_data(dataset))
    release = build_release(PduType.A_RELEASE_RQ)
    return [
        (build_request(), release),
        (build_request(), build_echo(), build_echo(2), release),
        (build_request(), *store, build_echo(), release),
        (build_request(), *store[:-1], build_abort(AbortSource.SERVICE_USER, AbortReason(0))),
    ]


def mutate(stream: Stream, chance: random.Random) -> bytes:
    """Return the stream with up to three changes: bits, lengths, PDUs, or its end."""
    pdus = list(stream)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(pdus))
        pdu = bytearray(pdus[place])
        change = chance.randrange(7)
        if change == 0 and pdu:
            pdu[chance.randrange(len(pdu))] ^= 1 << chance.randrange(8)
        elif change == 1:
            pdu[2:6] = chance.choice((0, 1, 5, len(pdu), 2**17 + 1, 2**32 - 1)).to_bytes(4, "big")
        elif change == 2 and len(pdu) > 12:
            pdu[6:10] = chance.choice((0, 1, 2, len(pdu), 2**31)).to_bytes(4, "big")
        elif change == 3:
            del pdu[chance.randrange(len(pdu) + 1) :]
        elif change == 4:
            at = chance.randrange(len(pdu) + 1)
            pdu[at:at] = chance.randbytes(chance.randint(1, 64))
        elif change == 5:
            pdus.insert(chance.randrange(len(pdus) + 1), bytes(pdu))
        else:
            chance.shuffle(pdus)
            continue
        pdus[place] = bytes(pdu)
    return b"".join(pdus)


def send_stream(port: int, stream: bytes) -> None:
    """Send everything, close our side, and read until the listener closes its own."""
    with connect(port) as peer:
        try:
            peer.send(stream)
            peer.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return
        except OSError:  # the connection is closed already
            return
        assert peer.is_closed()


@contextmanager
def no_thread_fails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Check that no thread ends by an exception, and none is caught as a last resort."""
    failures: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: failures.append(str(failed)))
    caplog.set_level(logging.WARNING)
    before = threading.active_count()
    yield
    peers.wait_until(lambda: threading.active_count() <= before, seconds=20, what="their end")
    assert not failures
    assert not [line for line in caplog.messages if ".py:" in line and "object refused" not in line]


def fuzz(listener: RunningListener, seeds: range) -> None:
    streams = build_streams()
    for seed in seeds:
        chance = random.Random(seed)
        send_stream(listener.port, mutate(chance.choice(streams), chance))


@pytest.fixture
def quick_listener(start_listener: StartListener, sqlite_database: Database) -> RunningListener:
    return start_listener(sqlite_database, dicom_acse_timeout_seconds=5)


def test_2000_mutated_streams_leave_nothing_behind(
    quick_listener: RunningListener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with no_thread_fails(caplog, monkeypatch):
        fuzz(quick_listener, range(2000))
    assert not quick_listener.incoming_files()
    assert send(quick_listener.port, image()) == [0x0000]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_100000_mutated_streams_take_no_memory(
    quick_listener: RunningListener,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with no_thread_fails(caplog, monkeypatch):
        fuzz(quick_listener, range(5_000))
        caplog.clear()
        gc.collect()
        before_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(19):
            fuzz(quick_listener, range(5_000))
            caplog.clear()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kilobytes
    assert grown < 50_000
    assert not quick_listener.incoming_files()


# ------------------------------------------------------------------------------ the oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[int]:
    """The port of pynetdicom's acceptor, which answers Success to every object."""
    entity = ApplicationEntity("SONOGATE")
    entity.network_timeout = 20
    for supported in build_supported_contexts():
        assert supported.abstract_syntax is not None
        entity.add_supported_context(supported.abstract_syntax, list(supported.transfer_syntax))
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)]
    )
    assert server is not None
    level = logging.getLogger("pynetdicom").level
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    yield int(server.server_address[1])
    server.shutdown()
    logging.getLogger("pynetdicom").setLevel(level)


LEGAL = ("echo", "store", "store-in-small-fragments", "echo-in-two-fragments")
ENDS = (
    "release",
    "abort",
    "second-request",
    "accept",
    "reject",
    "release-response",
    "unknown-type",
)
"""Not a malformed command: the thread of pynetdicom's association dies of it."""


def build_event(name: str) -> bytes:
    """Return the PDUs of a legal message, or of an event that ends the association."""
    dataset = image()
    echo = build_echo()
    command = echo[12:]
    if name == "store-in-small-fragments":
        content = b"".join(pdu[12:] for pdu in build_data(dataset))
        starts = range(0, len(content), 400)
        fragments = (
            build_fragment(
                ULTRASOUND_ID, 2 if start == starts[-1] else 0, content[start : start + 400]
            )
            for start in starts
        )
        return build_store(dataset) + b"".join(fragments)
    events = {
        "echo": echo,
        "echo-in-two-fragments": build_fragment(VERIFICATION_ID, 1, command[:20])
        + build_fragment(VERIFICATION_ID, 3, command[20:]),
        "store": build_store(dataset) + b"".join(build_data(dataset)),
        "release": build_release(PduType.A_RELEASE_RQ),
        "abort": build_abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED),
        "second-request": build_request(),
        "accept": bytes([PduType.A_ASSOCIATE_AC]) + build_request()[1:],
        "reject": build_rejection(Rejection.TEMPORARY_CONGESTION),
        "release-response": build_release(PduType.A_RELEASE_RP),
        "unknown-type": PDU_HEADER.pack(9, 4) + bytes(4),
    }
    return events[name]


def converse(port: int, events: list[str]) -> list[str]:
    """Return what the acceptor does after each event."""
    with connect(port) as peer:
        peer.associate()
        reactions = []
        for name in events:
            peer.send(build_event(name))
            reactions.append(read_reaction(peer))
        return reactions


def read_reaction(peer: RawPeer) -> str:
    try:
        kind, _ = peer.read_pdu()
    except ConnectionResetError:
        return "closed"
    return PduType(kind).name


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(LEGAL), max_size=4), st.sampled_from(ENDS))
def test_legal_and_illegal_sequences_are_answered_as_pynetdicom_does(
    listener: RunningListener, oracle: int, messages: list[str], end: str
) -> None:
    events = [*messages, end]
    assert converse(listener.port, events) == converse(oracle, events)
