import pytest

from tests.workers.pacs import run_pacs
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.verification_scu import echo
from workers.errors import PeerError


def test_echo_is_answered() -> None:
    with run_pacs() as pacs:
        echo(AssociationRequestor(pacs.peer, "SONOGATE"))


def test_an_echo_that_fails_says_why(free_port: int) -> None:
    with pytest.raises(PeerError, match="is the PACS running"):
        echo(AssociationRequestor(Peer("PACS", "127.0.0.1", free_port), "SONOGATE"))
