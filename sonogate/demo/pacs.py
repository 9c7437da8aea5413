"""The demo PACS: a Storage SCP that writes what it receives to a folder."""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time
from pynetdicom.transport import ThreadedAssociationServer

from sonogate.services.ports import LOOPBACK

SUCCESS: Final = 0x0000
CANNOT_UNDERSTAND: Final = 0xC000
"""PS3.4 B.2.3."""


class DemoPacs:
    """Listens on a free loopback port until its ``with`` block ends."""

    ae_title: Final = "DEMO-PACS"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        ae = AE(ae_title=self.ae_title)
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            assert context.abstract_syntax is not None
            ae.add_supported_context(context.abstract_syntax, AllTransferSyntaxes)
        self._server = ae.start_server(
            (LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.server_address[1]
        return port

    def path_of(self, sop_instance_uid: str) -> Path:
        """Return the file of an object, which exists once the object is received."""
        return self.folder / f"{sop_instance_uid}.dcm"

    def _store(self, event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = UID(str(event.request.AffectedSOPInstanceUID))
        if not uid.is_valid:  # it becomes part of a file name
            return CANNOT_UNDERSTAND
        temporary = self.folder / f".{uid}.part"
        temporary.write_bytes(event.encoded_dataset())
        temporary.replace(self.path_of(uid))
        return SUCCESS
