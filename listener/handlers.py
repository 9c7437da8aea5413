"""Handlers of association events. An error in a handler becomes a status and a log line."""

import logging
from collections import defaultdict
from dataclasses import asdict, astuple, dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from traceback import extract_tb
from typing import Any, Final, Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.routes import Source
from db.routes_file import RoutesFile
from db.types import now_utc
from dicom.commitment import EVENT_TYPES, parse_commitment_report
from dicom.images.header import InstanceHeader
from listener.attributes import build_received, build_sender, to_printable
from listener.chunk_files import ChunkFiles
from listener.commitments import record_report
from listener.errors import IdentityMismatch, NotAuthorized
from listener.events import EventRecorder
from listener.part10 import read_complete_header
from listener.statuses import (
    SUCCESS,
    DimseStatus,
    build_report_failure,
    build_store_failure,
)
from listener.storage import InstanceStorage

logger = logging.getLogger(__name__)

# A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, reason
_CALLING_AE_NOT_RECOGNIZED: Final = (1, 1, 3)
_CALLED_AE_NOT_RECOGNIZED: Final = (1, 1, 7)
_MAX_LOGGED_CONTEXTS: Final = 5
_TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = "transfer-syntaxes-not-supported"
# Result/Reason of a presentation context (PS3.8 9.3.3.2)
_REASONS: Final = {3: "abstract-syntax-not-supported", 4: _TRANSFER_SYNTAXES_NOT_SUPPORTED}


@dataclass(frozen=True)
class _RejectedContext:
    """A rejected presentation context, with the first of its unsupported transfer syntaxes."""

    abstract_syntax: str
    transfer_syntax: str
    name: str
    reason: str

    @classmethod
    def from_context(cls, context: PresentationContext) -> Self:
        abstract_syntax = UID(to_printable(context.abstract_syntax or "", 64))
        reason = _REASONS.get(context.result or 0, "rejected")
        proposed = context.transfer_syntax
        unsupported = proposed[0] if reason == _TRANSFER_SYNTAXES_NOT_SUPPORTED else ""
        return cls(abstract_syntax, to_printable(unsupported, 64), abstract_syntax.name, reason)


class Handlers:
    """Connects pynetdicom's events with storage, database and audit log."""

    def __init__(
        self,
        *,
        routes: RoutesFile,
        chunk_files: ChunkFiles,
        storage: InstanceStorage,
        database: Database,
        events: EventRecorder,
        required_called_ae: str,
    ) -> None:
        """``required_called_ae`` is the only accepted called AE title; empty accepts any."""
        self._routes = routes
        self._chunk_files = chunk_files
        self._storage = storage
        self._database = database
        self._events = events
        self._required_called_ae = required_called_ae
        self._lock = Lock()
        self._reported_contexts: defaultdict[Sender, set[_RejectedContext]] = defaultdict(set)

    def bindings(self) -> list[evt.EventHandlerType]:
        """Return the handlers for `AE.make_server`."""
        return [
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_ACCEPTED, self.on_accepted),
            (evt.EVT_REJECTED, self.on_rejected),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_EVENT_REPORT, self.on_event_report),
            (evt.EVT_N_ACTION, self.on_action),
        ]

    def on_requested(self, event: evt.Event) -> None:
        """Reject callers that are neither source nor destination.

        A destination may open an association to report storage commitment. Objects that it sends
        are refused one by one.
        """
        sender = _get_sender(event.assoc)
        is_destination = self._routes.current().has_destination(sender.calling_ae)
        if self._find_source(sender) is None and not is_destination:
            self._reject(event.assoc, sender, _CALLING_AE_NOT_RECOGNIZED, "unknown-source")
        elif self._required_called_ae not in ("", _get_request(event.assoc).called_ae_title):
            self._reject(event.assoc, sender, _CALLED_AE_NOT_RECOGNIZED, "unknown-called-ae")

    def on_rejected(self, event: evt.Event) -> None:
        """Record a rejection by pynetdicom itself: too many associations."""
        self._record_rejection(_get_sender(event.assoc), "too-many-associations")

    def on_accepted(self, event: evt.Event) -> None:
        """Record rejected presentation contexts, which explain why images are not sent.

        Many senders propose all their contexts on every association, so each context is logged and
        audited once for each sender, and counted every time.
        """
        rejected = {_RejectedContext.from_context(c) for c in event.assoc.rejected_contexts}
        if not rejected:
            return
        sender = _get_sender(event.assoc)
        with self._lock:
            new = rejected - self._reported_contexts[sender]
            self._reported_contexts[sender] |= new
        if not new:
            self._events.count(sender, "context-rejected")
            return
        contexts = sorted(new, key=astuple)
        names = ", ".join(f"{c.name} ({c.reason})" for c in contexts[:_MAX_LOGGED_CONTEXTS])
        remaining = len(contexts) - _MAX_LOGGED_CONTEXTS
        more = f" and {remaining} more" if remaining > 0 else ""
        logger.warning("%s: contexts rejected: %s%s", _describe(sender), names, more)
        self._events.record(
            AuditTag.CONTEXT_REJECTED,
            sender,
            "context-rejected",
            contexts=[asdict(context) for context in contexts],
        )

    def on_store(self, event: evt.Event) -> Dataset:
        """Handle C-STORE. Success means that the bytes are on disk and the row is committed."""
        sender = _get_sender(event.assoc)
        try:
            source = self._find_source(sender)
            if source is None:
                raise NotAuthorized
            path = event.dataset_path
            self._chunk_files.check(path)
            header = _read_requested_header(path, event)
            result = self._storage.store(
                path,
                build_received(header, sender),
                stable_after=timedelta(seconds=source.stable_after_seconds),
                now=now_utc(),
            )
        except Exception as error:  # noqa: BLE001  pynetdicom would respond with C211 to any error
            return self._refuse_object(sender, error)
        logger.info("%s: instance %s %s", _describe(sender), result.instance_id, result.outcome)
        return SUCCESS.to_dataset()

    def on_event_report(self, event: evt.Event) -> tuple[int, None]:
        """Handle an N-EVENT-REPORT of storage commitment (PS3.4 J.3.3).

        Success means that the row is committed.
        """
        sender = _get_sender(event.assoc)
        if event.event_type not in EVENT_TYPES:
            return int(DimseStatus.NO_SUCH_EVENT_TYPE), None
        try:
            report = parse_commitment_report(event.event_information)
            record_report(self._database, report, sender)
        except Exception as error:  # noqa: BLE001  pynetdicom would respond with 0110 to any error
            response = build_report_failure(error)
            logger.error(
                "%s: report refused: %s (%s)", _describe(sender), response.code, _locate(error)
            )
            self._events.count(sender, f"report-refused:{response.code}")
            return int(response.status), None
        logger.info(
            "%s: storage commitment report: %d committed, %d failed",
            _describe(sender),
            len(report.committed),
            len(report.failed),
        )
        return int(DimseStatus.SUCCESS), None

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """Refuse N-ACTION: Sonogate is no archive and does not commit to store objects."""
        logger.warning(
            "%s: storage commitment request refused", _describe(_get_sender(event.assoc))
        )
        return int(DimseStatus.SOP_CLASS_NOT_SUPPORTED), None

    def _refuse_object(self, sender: Sender, error: Exception) -> Dataset:
        response = build_store_failure(error)
        logger.error(
            "%s: object refused: %s (%s)", _describe(sender), response.code, _locate(error)
        )
        self._events.record(
            AuditTag.INSTANCE_REFUSED,
            sender,
            f"refused:{response.code}",
            status=f"{response.status:04X}",
            code=response.code,
        )
        return response.to_dataset()

    def _find_source(self, sender: Sender) -> Source | None:
        """Return the first source of the current routes file that matches the sender."""
        return self._routes.current().source_for(sender.calling_ae, sender.address)

    def _reject(
        self, association: Association, sender: Sender, reason: tuple[int, int, int], code: str
    ) -> None:
        association.acse.send_reject(*reason)
        self._record_rejection(sender, code)
        association.kill()

    def _record_rejection(self, sender: Sender, code: str) -> None:
        logger.warning("%s: association refused: %s", _describe(sender), code)
        self._events.record(
            AuditTag.ASSOCIATION_REFUSED, sender, f"association-refused:{code}", code=code
        )


def _read_requested_header(path: Path, event: evt.Event) -> InstanceHeader:
    """Return the header of a complete object after comparing it with the C-STORE request."""
    header = read_complete_header(path)
    request: Any = event.request
    for keyword, actual, requested in (
        ("SOPInstanceUID", header.sop_instance_uid, request.AffectedSOPInstanceUID),
        ("SOPClassUID", header.sop_class_uid, request.AffectedSOPClassUID),
        ("SOPClassUID", header.sop_class_uid, event.context.abstract_syntax),
    ):
        if actual != str(requested).strip("\0 "):  # padding is not part of a UID
            raise IdentityMismatch(keyword)
    return header


def _get_sender(association: Association) -> Sender:
    calling_ae = _get_request(association).calling_ae_title
    return build_sender(calling_ae, association.requestor.address)


def _get_request(association: Association) -> A_ASSOCIATE:
    request = association.requestor.primitive
    assert request is not None  # set before pynetdicom triggers the events handled here
    return request


def _describe(sender: Sender) -> str:
    return f"{sender.calling_ae or '(no AE title)'} at {sender.address}"


def _locate(error: Exception) -> str:
    """Return type and source line of an error without its text, which may quote the data set."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
