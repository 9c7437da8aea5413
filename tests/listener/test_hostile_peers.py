"""Peers that are slow, silent, endless or wrong: nobody shuts out a sender, and nothing remains."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from db.engine import Database
from db.schema import AuditEvent
from listener.upper_layer import (
    IS_COMMAND,
    IS_LAST,
    PDU_HEADER,
    AbortReason,
    AbortSource,
    PduType,
    build_fragment,
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
    encode_data_set,
)
from tests.listener.sending import association, get_rejection, request, send

HALF_REQUEST = bytes.fromhex("01 00 000000C8")
OTHER_ADDRESS = "127.0.0.2"
INVALID_VALUE = (AbortSource.SERVICE_PROVIDER, AbortReason.INVALID_PARAMETER_VALUE)
UNEXPECTED_PARAMETER = (AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PARAMETER)
UNEXPECTED_PDU = (AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU)
UNRECOGNIZED_PDU = (AbortSource.SERVICE_PROVIDER, AbortReason.UNRECOGNIZED_PDU)


def count_events(database: Database) -> int:
    with database.read() as session:
        return session.query(AuditEvent).count()


def wait_for_no_threads(before: int) -> None:
    peers.wait_until(lambda: threading.active_count() <= before, seconds=10, what="their end")


# ------------------------------------------------------------------------------ silent peers


@pytest.mark.parametrize("address", ["127.0.0.1", OTHER_ADDRESS], ids=["same", "other"])
@pytest.mark.parametrize("first", [b"", HALF_REQUEST], ids=["nothing", "half-a-request"])
def test_500_half_open_connections_keep_no_sender_out(
    listener: RunningListener, address: str, first: bytes
) -> None:
    before = threading.active_count()
    with ExitStack() as silent:
        for _ in range(500):
            peer = silent.enter_context(connect(listener.port, address=address))
            peer.send(first)
        assert send(listener.port, image(), image()) == [0x0000, 0x0000]
        assert threading.active_count() - before <= 120
    wait_for_no_threads(before)


def test_a_peer_that_trickles_its_request_is_closed_at_the_deadline(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_acse_timeout_seconds=1)
    with connect(listener.port) as peer:
        assert trickles_until_closed(peer, build_request())
    assert send(listener.port, image()) == [0x0000]


def test_a_peer_that_trickles_an_object_is_aborted_at_the_deadline(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_object_timeout_seconds=1)
    with connect(listener.port) as peer:
        peer.associate()
        peer.send(build_store(image()))
        assert trickles_until_closed(peer, b"".join(build_data(image(size_bytes=64 * 500))))
    peers.wait_until(lambda: not listener.incoming_files(), seconds=5, what="the end of the file")


def test_a_peer_that_sends_empty_fragments_for_ever_is_aborted_at_the_deadline(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_object_timeout_seconds=0.5)
    empty = build_fragment(VERIFICATION_ID, IS_COMMAND, b"")
    with connect(listener.port) as peer:
        peer.associate()
        assert trickles_until_closed(peer, empty * 500, step=len(empty))


def trickles_until_closed(peer: RawPeer, data: bytes, *, step: int = 1) -> bool:
    """Send a little every 20 ms. Return whether the connection was closed before the end."""
    peer.socket.settimeout(0.02)
    try:
        for start in range(0, len(data), step):
            peer.send(data[start : start + step])
            try:
                peer.socket.recv(4096)
            except TimeoutError:
                continue
            return True
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_a_silent_association_is_aborted(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_network_timeout_seconds=0.3)
    with connect(listener.port) as peer:
        peer.associate()
        assert peer.read_abort() == (AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)


def test_a_peer_that_reads_no_response_frees_its_association(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_network_timeout_seconds=0.5)
    before = threading.active_count()
    with connect(listener.port, seconds=0.2) as peer:
        peer.associate()
        try:
            for _ in range(1000):
                peer.send(build_echo() * 100)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        wait_for_no_threads(before)


# ------------------------------------------------------------------------------ strangers


def test_an_address_on_no_list_is_refused_before_a_byte_is_read(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    write_source(tmp_path, addresses='["127.0.0.1"]')
    listener = start_listener(sqlite_database)
    before = threading.active_count()
    with connect(listener.port, address=OTHER_ADDRESS) as peer:
        assert peer.read_pdu() == (PduType.A_ASSOCIATE_RJ, bytes([0, 1, 1, 3]))
        assert peer.is_closed()
    assert threading.active_count() == before
    assert send(listener.port, image()) == [0x0000]
    listener.wait_for_counts({"association-refused:unknown-address": 1, "stored": 1})


def test_a_destination_is_admitted_from_its_own_host_only(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    write_source(
        tmp_path,
        addresses='["127.0.0.9"]',
        more='[[destination]]\nname = "archive"\nae_title = "PACS"\nhost = "localhost"\nport = 104\n',
    )
    listener = start_listener(sqlite_database)
    peers.wait_until(
        lambda: is_accepted(listener.port, "PACS"), seconds=5, what="the address of the host"
    )
    assert not is_accepted(listener.port, "MODALITY")
    with connect(listener.port, address=OTHER_ADDRESS) as peer:
        assert peer.read_pdu()[0] == PduType.A_ASSOCIATE_RJ
    with connect(listener.port, address="127.0.0.9") as peer:
        peer.send(build_request(ae_title="PACS"))
        assert peer.read_pdu() == (PduType.A_ASSOCIATE_RJ, bytes([0, 1, 1, 3]))


def is_accepted(port: int, ae_title: str) -> bool:
    opened = request(port, ae_title=ae_title)
    if opened.is_established:
        opened.release()
        return True
    return False


def write_source(home: Path, *, addresses: str, more: str = "") -> None:
    source = f'[[source]]\nae_title = "MODALITY"\naddresses = {addresses}\n\n'
    (home / "routes.toml").write_text(source + more)


def test_600_refused_associations_are_a_few_audit_events_and_starve_nobody(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    write_source(tmp_path, addresses='["127.0.0.1"]')
    listener = start_listener(sqlite_database)
    with ThreadPoolExecutor(4) as attackers:
        attacks = [attackers.submit(be_refused, listener.port) for _ in range(600)]
        assert send(listener.port, *(image() for _ in range(5))) == [0x0000] * 5
        assert all(attack.result() for attack in attacks)
    assert listener.counts()["association-refused:unknown-source"] == 600
    events = listener.events("listener:association:refused")
    assert sum(event.get("times", 1) for event in events) == 600
    assert len(events) <= 10


def be_refused(port: int) -> bool:
    with connect(port) as peer:
        peer.send(build_request(ae_title="STRANGER"))
        return peer.read_pdu()[0] == PduType.A_ASSOCIATE_RJ


# ------------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limits", "ae_title", "is_admitted"),
    [
        ({"dicom_max_associations_per_sender": 2}, "MODALITY", False),
        ({"dicom_max_associations_per_sender": 2}, "ANOTHER", True),
        ({"dicom_max_associations_per_address": 2}, "ANOTHER", False),
        ({"dicom_max_associations": 2}, "ANOTHER", False),
        ({"dicom_max_associations": 3}, "MODALITY", True),
    ],
)
def test_each_limit_of_associations_is_kept(
    start_listener: StartListener,
    sqlite_database: Database,
    limits: dict[str, int],
    ae_title: str,
    is_admitted: bool,
) -> None:
    listener = start_listener(sqlite_database, **limits)
    with association(listener.port), association(listener.port):
        another = request(listener.port, ae_title=ae_title)
        assert another.is_established == is_admitted
        if is_admitted:
            another.release()
        else:
            assert get_rejection(another) == (2, 3, 2)
    peers.wait_until(
        lambda: is_accepted(listener.port, ae_title), seconds=5, what="room for an association"
    )


def test_another_address_is_admitted_when_one_holds_all_that_it_may(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_max_associations_per_address=2)
    with ExitStack() as held:
        for number in range(2):
            peer = held.enter_context(connect(listener.port, address=OTHER_ADDRESS))
            peer.associate(f"GREEDY{number}")
        assert send(listener.port, image()) == [0x0000]


# ------------------------------------------------------------------------------ objects


def test_an_object_of_a_destination_is_refused_without_being_written(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    write_source(
        tmp_path,
        addresses='["127.0.0.9"]',
        more='[[destination]]\nname = "archive"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 104\n',
    )
    listener = start_listener(sqlite_database)
    dataset = image(size_bytes=64 * 5_000)
    *parts, last = build_data(dataset)
    with connect(listener.port) as peer:
        peer.associate("PACS")
        peer.send(build_store(dataset) + b"".join(parts))
        peer.send(build_echo_in_other_association(listener.port))
        assert not listener.incoming_files()
        peer.send(last)
        assert peer.read_status() == 0x0124
        peer.send(build_echo())
        assert peer.read_status() == 0x0000
    assert not listener.stored_files()
    listener.wait_for_counts({"refused:not-authorized": 1})


def build_echo_in_other_association(port: int) -> bytes:
    """Wait for the answer to another peer, by which time what was sent before has been read."""
    with connect(port) as peer:
        peer.associate("PACS")
        peer.send(build_echo())
        assert peer.read_status() == 0x0000
    return b""


def test_an_aborted_object_leaves_no_file_and_no_thread(listener: RunningListener) -> None:
    before = threading.active_count()
    dataset = image(size_bytes=64 * 5_000)
    for ending in (b"", b"\x07\0\0\0\0\4\0\0\0\0", build_release(PduType.A_RELEASE_RQ)):
        with connect(listener.port) as peer:
            peer.associate()
            peer.send(build_store(dataset) + b"".join(build_data(dataset)[:-1]))
            peers.wait_until(
                lambda: bool(listener.incoming_files()), seconds=5, what="the incoming file"
            )
            peer.send(ending)
    peers.wait_until(lambda: not listener.incoming_files(), seconds=5, what="the end of the file")
    wait_for_no_threads(before)


# ------------------------------------------------------------------------------ malformed PDUs


def header(kind: int, length: int) -> bytes:
    return PDU_HEADER.pack(kind, length)


VIOLATIONS = {
    "four-gigabytes": (header(PduType.P_DATA_TF, 0xFFFFFFF0) + bytes(100), INVALID_VALUE),
    "one-byte-too-long": (header(PduType.P_DATA_TF, 131_073), INVALID_VALUE),
    "no-fragment": (header(PduType.P_DATA_TF, 0), INVALID_VALUE),
    "half-a-fragment-header": (header(PduType.P_DATA_TF, 3) + bytes(3), INVALID_VALUE),
    "fragment-without-control": (
        header(PduType.P_DATA_TF, 6) + b"\0\0\0\1\1\3",
        INVALID_VALUE,
    ),
    "fragment-longer-than-its-pdu": (
        header(PduType.P_DATA_TF, 6) + b"\0\0\0\7\1\3",
        INVALID_VALUE,
    ),
    "context-that-was-not-accepted": (build_fragment(99, IS_COMMAND, b"abc"), INVALID_VALUE),
    "data-set-without-command": (build_fragment(ULTRASOUND_ID, 0, b"abc"), UNEXPECTED_PARAMETER),
    "command-inside-a-data-set": (
        build_store(image()) + build_fragment(ULTRASOUND_ID, IS_COMMAND, b"abc"),
        UNEXPECTED_PARAMETER,
    ),
    "two-messages-at-a-time": (build_store(image()) + build_echo(), INVALID_VALUE),
    "command-that-is-no-command-set": (
        build_fragment(VERIFICATION_ID, IS_COMMAND | IS_LAST, b"\xff" * 40),
        INVALID_VALUE,
    ),
    "command-that-never-ends": (
        build_fragment(VERIFICATION_ID, IS_COMMAND, bytes(60_000)) * 2,
        INVALID_VALUE,
    ),
    "response-without-request": (
        build_echo().replace(b"\0\0\0\1\2\0\0\0\x30\0", b"\0\0\0\1\2\0\0\0\x30\x80"),
        UNEXPECTED_PARAMETER,
    ),
    "second-association-request": (build_request(), UNEXPECTED_PDU),
    "association-accept": (header(PduType.A_ASSOCIATE_AC, 4) + bytes(4), UNEXPECTED_PDU),
    "unknown-type": (header(9, 4) + bytes(4), UNRECOGNIZED_PDU),
    "release-of-wrong-length": (header(PduType.A_RELEASE_RQ, 5) + bytes(5), INVALID_VALUE),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_of_the_protocol_is_aborted_with_its_reason(
    listener: RunningListener, name: str
) -> None:
    before = threading.active_count()
    violation, expected = VIOLATIONS[name]
    with connect(listener.port) as peer:
        peer.associate()
        peer.send(violation)
        assert peer.read_abort() == expected
    wait_for_no_threads(before)
    assert not listener.incoming_files()


def test_a_pdu_of_exactly_the_negotiated_length_is_accepted(listener: RunningListener) -> None:
    dataset = image(size_bytes=64 * 4_000)
    content = encode_data_set(dataset)
    longest = build_fragment(ULTRASOUND_ID, 0, content[: 131_072 - 6])
    assert len(longest) == PDU_HEADER.size + 131_072
    with connect(listener.port) as peer:
        peer.associate()
        peer.send(build_store(dataset) + longest)
        peer.send(build_fragment(ULTRASOUND_ID, 0, content[131_066:200_000]))
        peer.send(build_fragment(ULTRASOUND_ID, IS_LAST, content[200_000:]))
        assert peer.read_status() == 0x0000


def test_a_request_announced_with_four_gigabytes_is_not_read(listener: RunningListener) -> None:
    with connect(listener.port) as peer:
        peer.send(header(PduType.A_ASSOCIATE_RQ, 0xFFFFFFF0))
        start = time.monotonic()
        assert peer.is_closed()
        assert time.monotonic() - start < 10
    listener.wait_for_counts({"not-dicom": 1})


# ------------------------------------------------------------------------------ logs


@pytest.mark.filterwarnings("ignore")  # as outside tests: an error would hide what is logged
def test_text_of_a_peer_forges_no_log_line(
    listener: RunningListener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request_bytes = build_request().replace(b"1.2.840.10008.1.1", b"1.2\nFORGED LINE 1")
    with connect(listener.port) as peer:
        peer.send(request_bytes)
        peer.read_pdu()
    listener.counts()
    lines = [record.getMessage() for record in caplog.records]
    assert not any("\n" in line for line in lines)


@pytest.mark.filterwarnings("ignore")
def test_garbage_does_not_fill_the_log(
    listener: RunningListener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    items = b"".join(b"\x30\0" + (40).to_bytes(2, "big") + b"\xe9\n\r%s" * 8 for _ in range(4_500))
    context = b"\x20\0" + (60_000).to_bytes(2, "big") + b"\1\0\0\0" + items[:59_996]
    valid = build_request()
    body = valid[6:74] + context * 3 + items
    with connect(listener.port) as peer:
        peer.send(header(PduType.A_ASSOCIATE_RQ, len(body)) + body)
        assert peer.read_abort() == (AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
    assert sum(len(record.getMessage()) for record in caplog.records) < 1_000
    listener.wait_for_counts({"malformed-request": 1})


def test_a_request_with_very_many_items_is_refused_quickly(listener: RunningListener) -> None:
    context = b"\x20\0" + (65_532).to_bytes(2, "big") + b"\1\0\0\0" + b"\x40\0\0\0" * 16_382
    body = build_request()[6:74] + context * 15
    with connect(listener.port) as peer:
        peer.send(header(PduType.A_ASSOCIATE_RQ, len(body)) + body)
        assert peer.read_abort() == (AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
