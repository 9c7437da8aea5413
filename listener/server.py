"""The listener: its sockets and threads over one database and one file store."""

import logging
import socket
from threading import Event, Thread
from typing import Final, Self

from db.engine import Database
from db.errors import SettingsError, StoreFull
from db.routes import Routes
from db.routes_file import RoutesFile
from dicom.files import suppress_value_logging
from listener.acceptor import Acceptor
from listener.allow_list import AllowList
from listener.events import EventRecorder
from listener.handlers import Handlers
from listener.incoming_files import IncomingFiles
from listener.limits import Limits
from listener.settings import ListenerSettings
from listener.transport import build_tls_context, listen

logger = logging.getLogger(__name__)

_RELEASE_SECONDS: Final = 2.0
"""How long the peers may take to answer a release before their connections are closed."""
_END_SECONDS: Final = 5.0


class Listener:
    """A Verification and Storage SCP over one database and one file store.

    It is also an SCU of Storage Commitment for reports that a PACS sends on its own associations.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        """Read the routes file and the certificates.

        Raises:
            SettingsError: One of them is invalid.
        """
        self._settings = settings
        tls_context = build_tls_context(settings)
        self.files = settings.file_store()
        self.database = Database(settings.effective_database_url)
        self.events = EventRecorder(self.database)
        routes = RoutesFile(settings.effective_routes_file)
        _check_certificate_subjects(routes.current(), settings)
        self._allow_list = AllowList(routes)
        self._limits = Limits(
            pending=settings.dicom_max_pending_connections,
            associations=settings.dicom_max_associations,
            per_address=settings.dicom_max_associations_per_address,
            per_sender=settings.dicom_max_associations_per_sender,
        )
        handlers = Handlers(
            allow_list=self._allow_list,
            incoming_files=IncomingFiles(
                self.files,
                max_backlog_files=settings.dicom_max_backlog_files,
                max_inflated_bytes=settings.dicom_max_inflated_bytes,
            ),
            database=self.database,
            events=self.events,
            required_called_ae=settings.ae_title if settings.dicom_require_called_ae_title else "",
        )
        self._acceptor = Acceptor(
            settings,
            tls_context=tls_context,
            limits=self._limits,
            handlers=handlers,
            events=self.events,
        )
        self._stop = Event()
        self._socket: socket.socket | None = None
        self._threads: list[Thread] = []

    @property
    def port(self) -> int:
        """The TCP port of a started listener."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen in separate threads.

        Raises:
            CannotListen: The address or the port is not available.
        """
        self.files.prepare()
        _silence_libraries()
        self._socket = listen(self._settings.dicom_host, self._settings.dicom_port)
        self._acceptor.open()
        self._threads = [
            Thread(target=self._acceptor.serve, args=(self._socket,), name="listener"),
            Thread(target=self.events.run, args=(self._stop,), name="events"),
            Thread(target=self._allow_list.keep_resolved, args=(self._stop,), name="host names"),
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()
        logger.info("listening as %s on port %d", self._settings.ae_title, self.port)

    def stop(self) -> None:
        """Refuse new associations, wait for open ones, release and at last break off the others."""
        if self._socket is None:
            return
        self._acceptor.refuse_new_associations()
        if not self._limits.wait_for_associations(self._settings.dicom_stop_grace_seconds):
            self._acceptor.release_associations()
            self._limits.wait_for_associations(_RELEASE_SECONDS)
        self._acceptor.close()
        self._limits.shut_down_pending()
        count = self._limits.shut_down_associations()
        if count:
            logger.warning("broke off %d associations because the listener stops", count)
        self._limits.wait_for_all(_END_SECONDS)
        self._stop.set()
        self._allow_list.wake()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self._socket.close()
        self._acceptor.free()
        self.database.close()
        self._socket = None

    def ready(self) -> bool:
        """Whether the listener runs and the disk has enough free space. It needs no database."""
        if self._socket is None:
            return False
        try:
            self.files.check_free_space()
        except (StoreFull, OSError):
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _check_certificate_subjects(routes: Routes, settings: ListenerSettings) -> None:
    has_subject = any(source.certificate_subject for source in routes.source)
    if has_subject and settings.dicom_tls_ca is None:
        raise SettingsError(
            "A source in the routes file has a certificate_subject, but no peer is asked for a"
            " certificate: set SONOGATE_DICOM_TLS_CA"
        )


def _silence_libraries() -> None:
    """Keep pynetdicom and pydicom from logging what they decode, in the whole process.

    Their messages quote text of the peer without limit and partly unescaped. Safe to call again.
    """
    suppress_value_logging()
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
