"""C-ECHO with the timeout of `sonogate doctor`."""

from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.verification_scu import echo

TIMEOUT_SECONDS = 5.0
"""For each connection and each answer, of DICOM nodes and other servers."""


def send_echo(peer: Peer, *, calling_ae: str) -> None:
    """Send a C-ECHO.

    Raises:
        PeerError: The peer does not answer with success. The text names the reason.
    """
    echo(AssociationRequestor(peer, calling_ae, TIMEOUT_SECONDS, TIMEOUT_SECONDS))
