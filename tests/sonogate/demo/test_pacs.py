"""The demo PACS."""

from pathlib import Path

from pydicom import dcmread

from sonogate.demo.pacs import DemoPacs
from tests.sonogate import pictures
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.store_scu import send


def test_an_object_is_stored_under_its_uid(tmp_path: Path) -> None:
    source = pictures.still(tmp_path / "a.dcm")
    with DemoPacs(tmp_path / "pacs") as pacs:
        peer = Peer(pacs.ae_title, "127.0.0.1", pacs.port)
        (outcome,) = send(AssociationRequestor(peer, "TEST"), [source])
        assert outcome.status == 0x0000
        stored = pacs.path_of(dcmread(source).SOPInstanceUID)
        assert dcmread(stored) == dcmread(source)
    assert list(pacs.folder.iterdir()) == [stored]
