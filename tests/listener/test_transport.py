"""Connections that are no associations, and associations over TLS."""

import logging
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pynetdicom.ae import ApplicationEntity

from db.engine import Database
from db.errors import SettingsError
from listener.transport import build_tls_context, format_subject
from tests import peers
from tests.listener.conftest import RunningListener, StartListener, settings_for
from tests.listener.images import image, save
from tests.listener.sending import ULTRASOUND, VERIFICATION, association, request, send


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# ------------------------------------------------------------------------------ no association


def test_a_health_check_leaves_no_thread_and_no_log_line(
    listener: RunningListener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = threading.active_count()
    for _ in range(30):
        with connected(listener.port):
            pass
    peers.wait_until(lambda: threading.active_count() <= before, seconds=5, what="their end")
    assert not [r for r in caplog.records if r.levelno >= logging.INFO]
    assert not listener.counts()


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x04\x00\x00\x00\x00\x04abcd", b"\x01\x00\xff\xff\xff\xff" * 3],
    ids=["http", "data-before-association", "request-of-four-gigabytes"],
)
def test_a_connection_without_an_association_request_is_closed(
    listener: RunningListener, garbage: bytes
) -> None:
    with connected(listener.port) as connection:
        connection.sendall(garbage)
        assert is_closed(connection)
    listener.wait_for_counts({"not-dicom": 1})
    assert send(listener.port, image()) == [0x0000]


def test_a_silent_connection_is_closed_and_does_not_block_others(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_acse_timeout_seconds=1)
    with connected(listener.port) as silent:
        assert send(listener.port, image()) == [0x0000]
        assert is_closed(silent)


def test_half_a_header_times_out(start_listener: StartListener, sqlite_database: Database) -> None:
    listener = start_listener(sqlite_database, dicom_acse_timeout_seconds=0.3)
    with connected(listener.port) as slow:
        slow.sendall(b"\x01\x00\x00")
        assert is_closed(slow)


def test_a_sender_lost_during_a_transfer_frees_its_association(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_network_timeout_seconds=0.5)
    before = threading.active_count()
    opened = request(listener.port)
    connection = opened.dul.socket.socket if opened.dul.socket else None
    assert connection is not None
    connection.sendall(b"\x04\x00\x00\x01\x00\x00half a PDU")
    peers.wait_until(lambda: not opened.is_established, seconds=5, what="the abort")
    peers.wait_until(lambda: threading.active_count() <= before, seconds=5, what="their end")


def test_responses_are_not_delayed(listener: RunningListener) -> None:
    with association(listener.port, [VERIFICATION]) as opened:
        opened.send_c_echo()
        start = time.monotonic()
        for _ in range(20):
            opened.send_c_echo()
        assert time.monotonic() - start < 20 * 0.04  # the delay of Nagle's algorithm


# ------------------------------------------------------------------------------ TLS


@dataclass(frozen=True)
class Certificates:
    """A certificate authority with a server and a client, as PEM files."""

    folder: Path

    def create(self) -> None:
        self.openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test CA"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),  # required by Python 3.13
            *("-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        )
        for name in ("server", "client"):
            self._sign(name)

    def path(self, name: str) -> Path:
        return self.folder / name

    def client(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.path("ca.pem")))
        if with_certificate:
            context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context

    def settings(self) -> dict[str, Path]:
        return {
            "dicom_tls_certificate": self.path("server.pem"),
            "dicom_tls_key": self.path("server.key"),
            "dicom_tls_ca": self.path("ca.pem"),
        }

    def _sign(self, name: str) -> None:
        (self.folder / "san").write_text(
            "subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        self.openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        self.openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem"),
        )

    def openssl(self, *arguments: str) -> str:
        """Run openssl in the folder and return its output."""
        command = [peers.find_program("openssl"), *arguments]
        done = subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return done.stdout.decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    authority = Certificates(tmp_path_factory.mktemp("tls"))
    authority.create()
    return authority


@pytest.fixture
def tls_listener(
    start_listener: StartListener, sqlite_database: Database, certificates: Certificates
) -> RunningListener:
    return start_listener(sqlite_database, dicom_acse_timeout_seconds=3, **certificates.settings())


def stores_over_tls(port: int, context: ssl.SSLContext) -> bool:
    entity = ApplicationEntity("MODALITY")
    entity.acse_timeout = entity.connection_timeout = 10
    opened = entity.associate("127.0.0.1", port, [ULTRASOUND], tls_args=(context, "localhost"))
    if not opened.is_established:
        return False
    status: int = opened.send_c_store(image()).Status
    opened.release()
    return status == 0x0000


def test_it_stores_over_mutual_tls(
    tls_listener: RunningListener, certificates: Certificates
) -> None:
    assert stores_over_tls(tls_listener.port, certificates.client())
    assert len(tls_listener.instances()) == 1


def test_a_peer_without_a_certificate_is_refused(
    tls_listener: RunningListener, certificates: Certificates
) -> None:
    context = certificates.client(with_certificate=False)
    with (
        connected(tls_listener.port) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
        pytest.raises(ssl.SSLError, match="certificate required"),
    ):
        connection.recv(1)  # TLS 1.3 reports the refusal with the first response


def test_a_connection_without_tls_is_closed(tls_listener: RunningListener) -> None:
    assert not request(tls_listener.port).is_established
    tls_listener.wait_for_counts({"not-dicom": 1})


def test_a_silent_connection_does_not_block_others_over_tls(
    tls_listener: RunningListener, certificates: Certificates
) -> None:
    with connected(tls_listener.port) as silent:
        assert stores_over_tls(tls_listener.port, certificates.client())
        silent.sendall(b"\x16")  # the first byte of a handshake that never comes
        assert stores_over_tls(tls_listener.port, certificates.client())


@pytest.mark.peer
def test_dcmtk_can_echo_over_tls(tls_listener: RunningListener, certificates: Certificates) -> None:
    key, certificate, authority = map(certificates.path, ("client.key", "client.pem", "ca.pem"))
    tls = ["+tls", str(key), str(certificate), "+cf", str(authority)]
    echoscu = peers.find_program("echoscu")
    subprocess.run([echoscu, *tls, "127.0.0.1", str(tls_listener.port)], check=True)


def limited_client(certificates: Certificates, ciphers: str) -> ssl.SSLContext:
    """A client that speaks nothing newer than TLS 1.2, with these cipher suites only."""
    context = certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize(
    ("ciphers", "is_accepted"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", True),  # mandatory in BCP 195
        ("ECDHE-RSA-AES128-SHA256", False),  # no authenticated encryption
        ("AES128-GCM-SHA256", False),  # no forward secrecy
    ],
)
def test_tls_follows_bcp_195(
    tls_listener: RunningListener, certificates: Certificates, ciphers: str, is_accepted: bool
) -> None:
    context = limited_client(certificates, ciphers)
    assert stores_over_tls(tls_listener.port, context) == is_accepted
    if not is_accepted:
        tls_listener.wait_for_counts({"tls-handshake-failed": 1})


@pytest.mark.parametrize(
    ("subject", "is_accepted"), [("CN=client", True), ("CN=another", False), ("", True)]
)
def test_a_source_is_admitted_with_its_certificate_only(
    start_listener: StartListener,
    sqlite_database: Database,
    certificates: Certificates,
    tmp_path: Path,
    subject: str,
    is_accepted: bool,
) -> None:
    (tmp_path / "routes.toml").write_text(
        f'[[source]]\nae_title = "MODALITY"\ncertificate_subject = "{subject}"\n'
    )
    listener = start_listener(sqlite_database, **certificates.settings())
    assert stores_over_tls(listener.port, certificates.client()) == is_accepted


def test_a_subject_has_the_text_that_openssl_prints(certificates: Certificates) -> None:
    name = "/C=DE/O=Clinic, Ltd + Sons/OU=#1 <US>/CN=US 1"
    certificates.openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", name),
        *("-keyout", "other.key", "-out", "other.pem", "-days", "2"),
    )
    printed = certificates.openssl(
        *("x509", "-in", "other.pem", "-noout", "-subject", "-nameopt", "RFC2253")
    )
    decode = vars(ssl)["_ssl"]._test_decode_cert
    decoded = decode(str(certificates.path("other.pem")))
    assert f"subject={format_subject(decoded)}" == printed.strip()


def test_a_handshake_that_trickles_is_closed_at_the_deadline(
    start_listener: StartListener, sqlite_database: Database, certificates: Certificates
) -> None:
    listener = start_listener(
        sqlite_database, dicom_acse_timeout_seconds=1, **certificates.settings()
    )
    with connected(listener.port) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00")
        slow.settimeout(0.05)
        start = time.monotonic()
        while not is_closed_after(slow, b"\x01"):
            assert time.monotonic() - start < 20


def is_closed_after(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except (BrokenPipeError, ConnectionResetError):
        return True


def test_a_pdu_above_the_negotiated_length_is_not_read_over_tls(
    tls_listener: RunningListener, certificates: Certificates
) -> None:
    with (
        connected(tls_listener.port) as plain,
        certificates.client().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(bytes.fromhex("01 00 FFFFFFF0"))
        assert is_closed(connection)
    tls_listener.wait_for_counts({"not-dicom": 1})


def test_500_silent_connections_keep_no_sender_out_over_tls(
    tls_listener: RunningListener, certificates: Certificates
) -> None:
    with ExitStack() as silent:
        for _ in range(500):
            silent.enter_context(connected(tls_listener.port)).sendall(b"\x16\x03\x01")
        assert stores_over_tls(tls_listener.port, certificates.client())


@pytest.mark.peer
@pytest.mark.parametrize("profile", ["--profile-bcp195", "--profile-bcp195-nd"])
def test_dcmtk_can_store_with_a_tls_profile(
    tls_listener: RunningListener, certificates: Certificates, tmp_path: Path, profile: str
) -> None:
    key, certificate, authority = map(certificates.path, ("client.key", "client.pem", "ca.pem"))
    tls = ["+tls", str(key), str(certificate), "+cf", str(authority), profile]
    file = save(image(), tmp_path / "image.dcm")
    command = [peers.find_program("storescu"), *tls, "127.0.0.1", str(tls_listener.port), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    assert len(tls_listener.instances()) == 1


def test_a_key_that_does_not_match_its_certificate_names_the_variables(
    certificates: Certificates, sqlite_database: Database, tmp_path: Path
) -> None:
    wrong = certificates.settings() | {"dicom_tls_key": certificates.path("client.key")}
    with pytest.raises(SettingsError, match="SONOGATE_DICOM_TLS_KEY"):
        build_tls_context(settings_for(tmp_path, sqlite_database, **wrong))
