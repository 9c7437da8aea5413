"""The listener: an application entity, composed from its parts."""

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
from db.intake import Sender
from db.routes_file import RoutesFile
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.commitments import Commitments
from listener.contexts import (
    RETIRED_CLASSES,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION,
)
from listener.errors import CannotListen
from listener.handlers import Handlers
from listener.journal import Journal
from listener.keeper import Keeper
from listener.settings import ListenerSettings
from listener.spool import Spool
from listener.transport import Reception, tls_context

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.1
_FAREWELL_S: Final = 2.0
"""How long an aborted association may take to end before its connection is cut."""


class Listener:
    """A DICOM Verification and Storage SCP over one database and one file store; SCU of Storage
    Commitment, as far as reports about our own requests come in by associations of the PACS.

    One at a time in a process, and no other Storage SCP beside it: pynetdicom keeps the switch
    for chunked receiving, and the place that the chunks go to, once for the process.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        """Reads the routes file and the certificates; opens nothing.

        Raises:
            SettingsError: one of them is wrong.
        """
        self._settings = settings
        self._tls = tls_context(settings)
        self.files = settings.file_store()
        self.database = Database(settings.effective_database_url)
        self.journal = Journal(self.database)
        self.keeper = Keeper(self.database, self.files)
        self._spool = Spool(self.files)
        self._handlers = Handlers(
            RoutesFile(settings.effective_routes_file),
            self._spool,
            self.keeper,
            Commitments(self.database),
            self.journal,
            settings.ae_title if settings.dicom_require_called_ae_title else "",
        )
        self._open = ExitStack()
        self._server: Reception | None = None
        self._thread: Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port that it listens on; known once it was started."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen, in a thread of its own.

        Raises:
            CannotListen: the port is taken, or the address is not ours.
        """
        self.files.prepare()
        _prepare_pynetdicom()
        self._server = self._bind()
        self._open.enter_context(self._spool.installed())
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="listener", daemon=True
        )
        self._thread.start()
        logger.info("listening as %s on port %d", self._settings.ae_title, self.port)

    def stop(self) -> None:
        """Take no new associations, let running ones finish for the time of grace, end the rest."""
        if self._server is None:
            return
        self._server.stop()
        self.join()
        self._server.server_close()
        self._wait_for_associations(self._settings.dicom_stop_grace_seconds)
        self._end_associations()
        self._open.close()
        self.database.close()
        self._server = None

    def join(self) -> None:
        """Wait until it was stopped."""
        if self._thread is not None:
            self._thread.join()

    def ready(self) -> bool:
        """Whether an object sent now would be stored: listening, database up, room on the disk."""
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

    def _bind(self) -> Reception:
        address = (self._settings.dicom_host, self._settings.dicom_port)
        try:
            server = self._application_entity().make_server(
                address,
                ssl_context=self._tls,
                evt_handlers=self._handlers.bindings(),
                server_class=Reception,
            )
        except OSError as error:
            raise CannotListen(*address, error.strerror or "") from error
        assert isinstance(server, Reception)
        server.turned_away = self._turned_away
        return server

    def _application_entity(self) -> ApplicationEntity:
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
        # Roles are the requestor's: the PACS that reports is the SCP of this class (PS3.7 D.3.3.4).
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
        for sop_class in STORAGE_CLASSES:
            entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        return entity

    def _turned_away(self, address: str) -> None:
        logger.info("%s: connection closed: it does not speak DICOM", address)
        self.journal.count(Sender("", address), "not-dicom")

    def _wait_for_associations(self, seconds: float) -> None:
        assert self._server is not None
        deadline = time.monotonic() + seconds
        while self._server.active_associations and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _end_associations(self) -> None:
        assert self._server is not None
        for association in self._server.active_associations:
            logger.warning("an association was aborted because the listener stops")
            association.abort(block=False)
        self._wait_for_associations(_FAREWELL_S)
        for association in self._server.active_associations:
            if association.dul.socket is not None:
                association.dul.socket.close()


class _WithoutValues(logging.Filter):
    """pynetdicom logs exceptions whole, and some quote the UID or text that they choked on."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg, record.args, record.exc_info = type(error).__name__, (), None
        return True


_WITHOUT_VALUES: Final = _WithoutValues()


def _prepare_pynetdicom() -> None:
    """Its switches for the whole process; setting them again changes nothing."""
    _config.LOG_HANDLER_LEVEL = "none"  # its summaries cost time, and name what was sent
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)
    for part in ("acse", "association", "dimse", "dul", "events", "fsm", "service-c"):
        logging.getLogger(f"pynetdicom.{part}").addFilter(_WITHOUT_VALUES)
    for keyword, uid in RETIRED_CLASSES.items():
        register_uid(uid, keyword, StorageServiceClass)
