"""A PACS that keeps what it takes, and can be told to refuse."""

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
Answer = Callable[[str], int]
"""The status for an object, by its SOP class."""


@dataclass
class Pacs:
    """What came in, in order: SOP class and SOP instance UID of each C-STORE, and its bytes."""

    peer: Peer
    asked: list[tuple[str, str]] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    answer: Answer = lambda _: 0x0000
    associations: int = 0
    ae: AE = field(default_factory=lambda: AE(ae_title="PACS"))
    _present: Association | None = None

    def store(self, event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        sop_class = str(event.request.AffectedSOPClassUID)
        self.asked.append((sop_class, uid))
        self._present = event.assoc
        status = self.answer(sop_class)
        if status == 0x0000:
            self.kept[uid] = event.encoded_dataset(include_meta=False)
        return status

    def break_off(self, *, for_good: bool = False) -> int:
        """Abort the association instead of answering, and refuse every later one if for good."""
        assert self._present is not None
        if for_good:
            self.ae.require_calling_aet = ["NOBODY"]
        self._present.abort()
        return 0x0110

    def accepted(self, _event: evt.Event) -> None:
        self.associations += 1


@contextmanager
def pacs(
    *,
    classes: tuple[str, ...] = CLASSES,
    known_callers: tuple[str, ...] = (),
    maximum_associations: int = 10,
    port: int | None = None,
) -> Iterator[Pacs]:
    """An SCP in this process; ``known_callers`` names the AE titles that may call, any when empty."""
    there = Pacs(Peer("PACS", "127.0.0.1", port or peers.free_port()))
    ae = there.ae
    ae.supported_contexts = [
        build_context(Verification),
        *(build_context(each, [ExplicitVRLittleEndian, JPEGBaseline8Bit]) for each in classes),
    ]
    ae.require_called_aet = True
    ae.maximum_associations = maximum_associations
    ae.require_calling_aet = list(known_callers)
    server = ae.start_server(
        (there.peer.host, there.peer.port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, there.store), (evt.EVT_ACCEPTED, there.accepted)],
    )
    assert server is not None
    try:
        yield there
    finally:
        server.shutdown()
