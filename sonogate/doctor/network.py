"""C-ECHO with the timeout of `sonogate doctor`."""

from workers.peers.store_scu import Peer, echo

TIMEOUT_SECONDS = 5.0
"""For each connection and each answer, of DICOM nodes and other servers."""


def send_echo(peer: Peer, *, calling_ae: str) -> None:
    """Send a C-ECHO.

    Raises:
        PeerError: The peer does not answer with success. The text names the reason.
    """
    echo(
        peer,
        calling_ae=calling_ae,
        connect_seconds=TIMEOUT_SECONDS,
        answer_seconds=TIMEOUT_SECONDS,
    )
