"""The listener: an application entity with its storage, handlers and server."""

import logging
import time
from contextlib import ExitStack
from threading import Thread
from typing import Final, Self

from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.errors import StoreFull
from db.routes_file import RoutesFile
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.chunk_files import ChunkFiles
from listener.contexts import (
    RETIRED_CLASSES,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from listener.errors import CannotListen
from listener.events import EventRecorder
from listener.handlers import Handlers
from listener.settings import ListenerSettings
from listener.storage import InstanceStorage
from listener.transport import AssociationServer, build_tls_context

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.1
_ABORT_SECONDS: Final = 2.0
"""How long an aborted association may take to end before its connection is closed."""


class Listener:
    """A Verification and Storage SCP over one database and one file store.

    It is also an SCU of Storage Commitment for reports that a PACS sends on its own associations.

    Run one listener in a process, and no other Storage SCP beside it: pynetdicom has one setting
    for chunked receiving, and one temporary file class, for the whole process.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        """Read the routes file and the certificates.

        Raises:
            SettingsError: One of them is invalid.
        """
        self._settings = settings
        self._tls_context = build_tls_context(settings)
        self.files = settings.file_store()
        self.database = Database(settings.effective_database_url)
        self.events = EventRecorder(self.database)
        self.storage = InstanceStorage(self.database, self.files)
        self._chunk_files = ChunkFiles(self.files)
        self._handlers = Handlers(
            routes=RoutesFile(settings.effective_routes_file),
            chunk_files=self._chunk_files,
            storage=self.storage,
            database=self.database,
            events=self.events,
            required_called_ae=settings.ae_title if settings.dicom_require_called_ae_title else "",
        )
        self._open = ExitStack()
        self._server: AssociationServer | None = None
        self._thread: Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port of a started listener."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen in a separate thread.

        Raises:
            CannotListen: The address or the port is not available.
        """
        self.files.prepare()
        _configure_pynetdicom()
        self._server = self._create_server()
        self._open.enter_context(self._chunk_files.installed())
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="listener", daemon=True
        )
        self._thread.start()
        logger.info("listening as %s on port %d", self._settings.ae_title, self.port)

    def stop(self) -> None:
        """Accept no new associations, wait for open ones, then abort those that remain."""
        if self._server is None:
            return
        self._server.stop()
        self.join()
        self._server.server_close()
        self._wait_for_associations(self._settings.dicom_stop_grace_seconds)
        for association in self._server.active_associations:
            logger.warning("aborting an association because the listener stops")
            association.abort(block=False)
        self._wait_for_associations(_ABORT_SECONDS)
        for association in self._server.active_associations:
            if association.dul.socket is not None:
                association.dul.socket.close()
        self._open.close()
        self.database.close()
        self._server = None

    def join(self) -> None:
        """Wait until the listener has stopped."""
        if self._thread is not None:
            self._thread.join()

    def ready(self) -> bool:
        """Whether the listener runs, its database answers, and the disk has enough free space."""
        if self._thread is None or not self._thread.is_alive():
            return False
        try:
            self.files.check_free_space()
            with self.database.read() as session:
                session.execute(text("SELECT 1"))
        except (StoreFull, OSError, SQLAlchemyError):
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _create_server(self) -> AssociationServer:
        address = (self._settings.dicom_host, self._settings.dicom_port)
        try:
            server = self._create_application_entity().make_server(
                address,
                ssl_context=self._tls_context,
                evt_handlers=self._handlers.bindings(),
                server_class=AssociationServer,
            )
        except OSError as error:
            raise CannotListen(*address, error.strerror or "") from error
        assert isinstance(server, AssociationServer)
        server.events = self.events
        return server

    def _create_application_entity(self) -> ApplicationEntity:
        settings = self._settings
        entity = ApplicationEntity(settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_associations = settings.dicom_max_associations
        entity.maximum_pdu_size = settings.dicom_max_pdu_bytes
        entity.network_timeout = settings.dicom_network_timeout_seconds
        entity.acse_timeout = settings.dicom_acse_timeout_seconds
        entity.dimse_timeout = settings.dicom_dimse_timeout_seconds
        entity.add_supported_context(VERIFICATION)
        # the roles are those of the requestor: the reporting PACS is the SCP (PS3.7 D.3.3.4)
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
        for sop_class in STORAGE_CLASSES:
            entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        return entity

    def _wait_for_associations(self, seconds: float) -> None:
        assert self._server is not None
        deadline = time.monotonic() + seconds
        while self._server.active_associations and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


class _RemoveErrorTexts(logging.Filter):
    """Reduces errors to their type: pynetdicom logs texts that may quote UIDs and values."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg, record.args, record.exc_info = type(error).__name__, (), None
        return True


_REMOVE_ERROR_TEXTS: Final = _RemoveErrorTexts()


def _configure_pynetdicom() -> None:
    """Apply settings for the whole process. Safe to call again."""
    _config.LOG_HANDLER_LEVEL = "none"  # summaries of messages cost time and quote UIDs
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)
    for part in ("acse", "association", "dimse", "dul", "events", "fsm", "service-c"):
        logging.getLogger(f"pynetdicom.{part}").addFilter(_REMOVE_ERROR_TEXTS)
    for keyword, uid in RETIRED_CLASSES.items():
        register_uid(uid, keyword, StorageServiceClass)
