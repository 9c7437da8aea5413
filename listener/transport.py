"""TCP and TLS connections."""

import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from db.errors import SettingsError
from listener.errors import CannotListen
from listener.settings import ListenerSettings

_BACKLOG: Final = 1024
# BCP 195 (RFC 9325 4.2): forward secrecy and authenticated encryption; TLS 1.3 has nothing else
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
_ATTRIBUTE_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "userId": "UID",
}
"""Names of RFC 2253; others are written as OpenSSL names them."""
_ESCAPED: Final = ',+"\\<>;'


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        CannotListen: The address or the port is not available.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListen(host, port, error.strerror or "") from error


def prepare_connection(transport: socket.socket) -> None:
    """Set the options of an accepted connection."""
    # without TCP_NODELAY, every response waits some 40 ms for a delayed acknowledgement
    transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def format_subject(certificate: Mapping[str, Any] | None) -> str:
    """Return the subject of a certificate of `ssl.SSLSocket.getpeercert` as text (RFC 2253)."""
    names = (certificate or {}).get("subject", ())
    return ",".join(
        "+".join(f"{_ATTRIBUTE_NAMES.get(name, name)}={_escape(value)}" for name, value in rdn)
        for rdn in reversed(names)
    )


def _escape(value: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in _ESCAPED else letter for letter in value)
    if escaped.startswith(("#", " ")):
        escaped = f"\\{escaped}"
    return f"{escaped[:-1]}\\ " if escaped.endswith(" ") and len(value) > 1 else escaped


def build_tls_context(settings: ListenerSettings) -> ssl.SSLContext | None:
    """Return a context for TLS 1.2 or newer by BCP 195, None when no certificate is set.

    With a certificate authority, callers must present a certificate.

    Raises:
        SettingsError: A PEM file is invalid. The text names the variables.
    """
    if settings.dicom_tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(settings.dicom_tls_certificate, settings.dicom_tls_key)
        if settings.dicom_tls_ca is not None:
            context.load_verify_locations(settings.dicom_tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise SettingsError(
            "SONOGATE_DICOM_TLS_CERTIFICATE, SONOGATE_DICOM_TLS_KEY and SONOGATE_DICOM_TLS_CA name"
            f" PEM files that cannot be used together: {error.strerror or error}"
        ) from None
    return context
