"""Verification SCU: C-ECHO."""

from pynetdicom import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from workers.destinations.dimse.association import AssociationRequestor
from workers.errors import PeerError


def echo(requestor: AssociationRequestor) -> None:
    """Send C-ECHO. Raises PeerError with the reason and the remedy."""
    with requestor.associate([build_context(Verification)]) as association:
        status = association.send_c_echo().get("Status")
        if status != 0x0000:
            raise PeerError("the peer did not answer C-ECHO with Success", permanent=False)
