"""A PACS in this process that stores what it receives, and whose statuses can be set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    ComprehensiveSRStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    Verification,
)

from tests import peers
from workers.destinations.dimse.association import Peer

CLASSES = (
    ComprehensiveSRStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)


@dataclass
class Pacs:
    """The PACS with the objects that it received."""

    peer: Peer
    received: list[tuple[str, str]] = field(default_factory=list)
    """SOP Class UID and SOP Instance UID of each C-STORE request, in order."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Encoded data sets by SOP Instance UID."""
    status_for: Callable[[str], int] = lambda _: 0x0000
    """Returns the status for an object by its SOP class."""
    associations: int = 0
    ae: AE = field(default_factory=lambda: AE(ae_title="PACS"))
    _association: Association | None = None

    def on_store(self, event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        sop_class = str(event.request.AffectedSOPClassUID)
        self.received.append((sop_class, uid))
        self._association = event.assoc
        status = self.status_for(sop_class)
        if status == 0x0000:
            self.stored[uid] = event.encoded_dataset(include_meta=False)
        return status

    def abort(self, *, reject_later: bool = False) -> int:
        """Abort the association instead of answering, and optionally reject later ones."""
        assert self._association is not None
        if reject_later:
            self.ae.require_calling_aet = ["NOBODY"]
        self._association.abort()
        return 0x0110

    def on_accepted(self, _event: evt.Event) -> None:
        self.associations += 1


@contextmanager
def run_pacs(
    *,
    classes: tuple[str, ...] = CLASSES,
    known_callers: tuple[str, ...] = (),
    maximum_associations: int = 10,
    port: int | None = None,
) -> Iterator[Pacs]:
    """Run a PACS that accepts the AE titles in ``known_callers``; any if it is empty."""
    pacs = Pacs(Peer("PACS", "127.0.0.1", port or peers.free_port()))
    ae = pacs.ae
    ae.supported_contexts = [
        build_context(Verification),
        *(build_context(each, [ExplicitVRLittleEndian, JPEGBaseline8Bit]) for each in classes),
    ]
    ae.require_called_aet = True
    ae.maximum_associations = maximum_associations
    ae.require_calling_aet = list(known_callers)
    server = ae.start_server(
        (pacs.peer.host, pacs.peer.port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, pacs.on_store), (evt.EVT_ACCEPTED, pacs.on_accepted)],
    )
    assert server is not None
    try:
        yield pacs
    finally:
        server.shutdown()
