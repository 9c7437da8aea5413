"""The services of the listener: Verification, Storage, and storage commitment reports.

An error in a service becomes a status and a log line.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import timedelta
from io import BytesIO
from threading import Lock
from typing import Any, Final, Self

from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext

from db.audit_tags import AuditTag
from db.engine import Database
from db.intake import Sender
from db.types import now_utc
from dicom.commitment import EVENT_TYPES, parse_commitment_report
from listener.allow_list import AllowList
from listener.association import Message, Response
from listener.attributes import to_printable
from listener.command_set import CommandElement, CommandField, CommandSet, build_response
from listener.commitments import record_report
from listener.contexts import STORAGE_CLASSES, STORAGE_COMMITMENT
from listener.dimse_n import (
    MAX_DATA_SET_BYTES,
    Primitive,
    decode_data_set,
    decode_request,
    encode_response,
)
from listener.errors import IdentityMismatch, NotAuthorized, locate
from listener.events import EventRecorder, describe
from listener.incoming_files import IncomingFile, IncomingFiles, Origin
from listener.negotiation import AcceptedContext
from listener.peers import Caller
from listener.statuses import DimseStatus, build_report_failure, build_store_failure
from listener.upper_layer import Rejection

logger = logging.getLogger(__name__)

_MAX_LOGGED_CONTEXTS: Final = 5
_MAX_REMEMBERED_CONTEXTS: Final = 10_000
_TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = "transfer-syntaxes-not-supported"
# Result/Reason of a presentation context (PS3.8 9.3.3.2)
_REASONS: Final = {3: "abstract-syntax-not-supported", 4: _TRANSFER_SYNTAXES_NOT_SUPPORTED}
_DIMSE_N: Final = frozenset(
    {
        CommandField.N_EVENT_REPORT,
        CommandField.N_GET,
        CommandField.N_SET,
        CommandField.N_ACTION,
        CommandField.N_CREATE,
        CommandField.N_DELETE,
    }
)


@dataclass(frozen=True)
class AssociationRefusal:
    """Why an association is refused. ``code`` is stable; counts, audit and log use it."""

    rejection: Rejection
    code: str


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
    """Connects associations with incoming files, database and audit log."""

    def __init__(
        self,
        *,
        allow_list: AllowList,
        incoming_files: IncomingFiles,
        database: Database,
        events: EventRecorder,
        required_called_ae: str,
    ) -> None:
        """``required_called_ae`` is the only accepted called AE title; empty accepts any."""
        self._allow_list = allow_list
        self._incoming_files = incoming_files
        self._database = database
        self._events = events
        self._required_called_ae = required_called_ae
        self._lock = Lock()
        self._reported_contexts: defaultdict[Sender, set[_RejectedContext]] = defaultdict(set)

    # -------------------------------------------------------------------------- associations

    def admits_address(self, address: str) -> bool:
        """Return whether any sender or destination may connect from this address."""
        return self._allow_list.admits_address(address)

    def find_refusal(self, caller: Caller) -> AssociationRefusal | None:
        """Return why a caller may not open an association, None if it may.

        A destination may open an association to report storage commitment. Objects that it sends
        are refused one by one.
        """
        source = self._allow_list.find_source(caller.sender, caller.certificate_subject)
        if source is None and not self._allow_list.is_destination(caller.sender):
            return AssociationRefusal(Rejection.CALLING_AE_NOT_RECOGNIZED, "unknown-source")
        if self._required_called_ae not in ("", caller.called_ae):
            return AssociationRefusal(Rejection.CALLED_AE_NOT_RECOGNIZED, "unknown-called-ae")
        return None

    def record_refusal(self, sender: Sender, code: str) -> None:
        """Record that an association was refused."""
        is_first = self._events.record(
            AuditTag.ASSOCIATION_REFUSED, sender, f"association-refused:{code}", code=code
        )
        if is_first:
            logger.warning("%s: association refused: %s", describe(sender), code)

    def record_abort(self, sender: Sender, reason: str) -> None:
        """Record that an association was aborted from our side."""
        if self._events.count(sender, "association-aborted"):
            logger.warning("%s: association aborted: %s", describe(sender), reason)

    def record_rejected_contexts(
        self, sender: Sender, contexts: Sequence[PresentationContext]
    ) -> None:
        """Record rejected presentation contexts, which explain why images are not sent.

        Many senders propose all their contexts on every association, so each context is logged and
        audited once for each sender, and counted every time.
        """
        rejected = {_RejectedContext.from_context(context) for context in contexts}
        if not rejected:
            return
        new = self._remember(sender, rejected)
        if not new:
            self._events.count(sender, "context-rejected")
            return
        ordered = sorted(new, key=astuple)
        names = ", ".join(f"{c.name} ({c.reason})" for c in ordered[:_MAX_LOGGED_CONTEXTS])
        remaining = len(ordered) - _MAX_LOGGED_CONTEXTS
        more = f" and {remaining} more" if remaining > 0 else ""
        logger.warning("%s: contexts rejected: %s%s", describe(sender), names, more)
        self._events.record(
            AuditTag.CONTEXT_REJECTED,
            sender,
            "context-rejected",
            contexts=[asdict(context) for context in ordered],
        )

    def _remember(self, sender: Sender, rejected: set[_RejectedContext]) -> set[_RejectedContext]:
        """Return the contexts that are new for the sender; none once too many are remembered."""
        with self._lock:
            known = sum(map(len, self._reported_contexts.values()))
            if known + len(rejected) > _MAX_REMEMBERED_CONTEXTS:
                return set()
            new = rejected - self._reported_contexts[sender]
            self._reported_contexts[sender] |= new
        return new

    # -------------------------------------------------------------------------- messages

    def begin(self, command: CommandSet, context: AcceptedContext, caller: Caller) -> Message:
        """Return what takes the data set of a request and responds to it."""
        if command.field is CommandField.C_STORE:
            return self._begin_store(command, context, caller)
        if command.field is CommandField.C_ECHO:
            return _Answer(command, DimseStatus.SUCCESS)
        if command.field is CommandField.C_CANCEL:  # it has no response (PS3.7 9.3.2.3)
            return _Answer(command, None)
        if command.field in _DIMSE_N and context.abstract_syntax == STORAGE_COMMITMENT:
            return _DimseNMessage(self, command, context, caller)
        return _Answer(command, DimseStatus.UNRECOGNIZED_OPERATION)

    def _begin_store(
        self, command: CommandSet, context: AcceptedContext, caller: Caller
    ) -> Message:
        if context.abstract_syntax not in STORAGE_CLASSES or not command.has_data_set:
            return _Answer(command, DimseStatus.SOP_CLASS_NOT_SUPPORTED)
        try:
            file: IncomingFile | Exception = self._open_file(command, context, caller)
        except Exception as error:  # noqa: BLE001  it becomes a status
            file = error
        return _StoreMessage(self, command, caller.sender, file)

    def _open_file(
        self, command: CommandSet, context: AcceptedContext, caller: Caller
    ) -> IncomingFile:
        """Return the file of an object, before anything of it is written.

        Raises:
            NotAuthorized: The sender may not store.
            IdentityMismatch: The request does not fit its presentation context.
            StoreFull, OSError: There is no room.
        """
        source = self._allow_list.find_source(caller.sender, caller.certificate_subject)
        if source is None:
            raise NotAuthorized
        sop_class = command.get_uid(CommandElement.AFFECTED_SOP_CLASS_UID)
        sop_instance = command.get_uid(CommandElement.AFFECTED_SOP_INSTANCE_UID)
        if sop_class != context.abstract_syntax:
            raise IdentityMismatch("SOPClassUID")
        if not sop_instance:
            raise IdentityMismatch("SOPInstanceUID")
        return self._incoming_files.create(
            Origin(
                sop_class_uid=sop_class,
                sop_instance_uid=sop_instance,
                transfer_syntax_uid=context.transfer_syntax,
                calling_ae=caller.sender.calling_ae,
                called_ae=to_printable(caller.called_ae, 16),
                address=caller.sender.address,
                received_at=now_utc(),
                stable_after=timedelta(seconds=source.stable_after_seconds),
            )
        )

    def refuse_object(self, command: CommandSet, sender: Sender, error: Exception) -> Response:
        """Record a refused object and return the response."""
        response = build_store_failure(error)
        is_first = self._events.record(
            AuditTag.INSTANCE_REFUSED,
            sender,
            f"refused:{response.code}",
            status=f"{response.status:04X}",
            code=response.code,
        )
        if is_first:
            logger.error(
                "%s: object refused: %s (%s)", describe(sender), response.code, locate(error)
            )
        return build_response(command, response.status, response.comment), b""

    def respond_to_dimse_n(
        self, request: Primitive, context: AcceptedContext, caller: Caller
    ) -> DimseStatus:
        """Handle a DIMSE-N request of storage commitment and return its status."""
        if isinstance(request, N_EVENT_REPORT):
            return self._handle_report(request, context, caller.sender)
        if isinstance(request, N_ACTION):  # Sonogate is no archive: it does not commit to store
            if self._events.count(caller.sender, "commitment-request-refused"):
                logger.warning("%s: storage commitment request refused", describe(caller.sender))
            return DimseStatus.SOP_CLASS_NOT_SUPPORTED
        return DimseStatus.UNRECOGNIZED_OPERATION

    def _handle_report(
        self, request: N_EVENT_REPORT, context: AcceptedContext, sender: Sender
    ) -> DimseStatus:
        """Handle an N-EVENT-REPORT of storage commitment (PS3.4 J.3.3).

        Success means that the row is committed.
        """
        if request.EventTypeID not in EVENT_TYPES:
            return DimseStatus.NO_SUCH_EVENT_TYPE
        try:
            information = decode_data_set(request.EventInformation, context.transfer_syntax)
            report = parse_commitment_report(information)
            record_report(self._database, report, sender)
        except Exception as error:  # noqa: BLE001  it becomes a status
            response = build_report_failure(error)
            if self._events.count(sender, f"report-refused:{response.code}"):
                logger.error(
                    "%s: report refused: %s (%s)", describe(sender), response.code, locate(error)
                )
            return response.status
        logger.info(
            "%s: storage commitment report: %d committed, %d failed",
            describe(sender),
            len(report.committed),
            len(report.failed),
        )
        return DimseStatus.SUCCESS


class _Answer:
    """A request with a fixed status, or without a response. Its data set is ignored."""

    def __init__(self, command: CommandSet, status: DimseStatus | None) -> None:
        self._command = command
        self._status = status

    def write(self, fragment: memoryview) -> None:
        pass

    def finish(self) -> Response:
        if self._status is None:
            return b"", b""
        return build_response(self._command, self._status), b""

    def close(self) -> None:
        pass


class _StoreMessage:
    """A C-STORE request. After an error the rest of the data set is ignored, and nothing remains."""

    def __init__(
        self,
        handlers: Handlers,
        command: CommandSet,
        sender: Sender,
        file: IncomingFile | Exception,
    ) -> None:
        self._handlers = handlers
        self._command = command
        self._sender = sender
        self._file = file
        self._is_stored = False

    def write(self, fragment: memoryview) -> None:
        if isinstance(self._file, Exception):
            return
        try:
            self._file.write(fragment)
        except Exception as error:  # noqa: BLE001  it becomes a status
            self._file.discard()
            self._file = error

    def finish(self) -> Response:
        """Store the object. Success means that it would survive a power cut."""
        file = self._file
        if isinstance(file, Exception):
            return self._handlers.refuse_object(self._command, self._sender, file)
        try:
            file.store()
        except Exception as error:  # noqa: BLE001  it becomes a status
            return self._handlers.refuse_object(self._command, self._sender, error)
        self._is_stored = True
        logger.info("%s: object stored", describe(self._sender))
        return build_response(self._command, DimseStatus.SUCCESS), b""

    def close(self) -> None:
        if isinstance(self._file, Exception):
            return
        if self._is_stored:
            self._file.publish()
        else:
            self._file.discard()


class _DimseNMessage:
    """A DIMSE-N request, whose data set is kept in memory up to a limit."""

    def __init__(
        self, handlers: Handlers, command: CommandSet, context: AcceptedContext, caller: Caller
    ) -> None:
        self._handlers = handlers
        self._command = command
        self._context = context
        self._caller = caller
        self._data_set = BytesIO()
        self._is_too_long = False

    def write(self, fragment: memoryview) -> None:
        if self._data_set.tell() + len(fragment) > MAX_DATA_SET_BYTES:
            self._is_too_long = True
            self._data_set = BytesIO()
        elif not self._is_too_long:
            self._data_set.write(fragment)

    def finish(self) -> Response:
        """Raises ProtocolError if the request is malformed."""
        if self._is_too_long:
            return build_response(self._command, DimseStatus.RESOURCE_LIMITATION), b""
        request = decode_request(self._command, self._data_set.getvalue())
        status = self._handlers.respond_to_dimse_n(request, self._context, self._caller)
        return encode_response(_build_response_primitive(request, status))

    def close(self) -> None:
        pass


def _build_response_primitive(request: Primitive, status: DimseStatus) -> Primitive:
    """Return the response without a data set; it repeats class, instance and type of the request."""
    asked: Any = request
    response: Any = type(request)()
    response.MessageIDBeingRespondedTo = asked.MessageID
    response.Status = int(status)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        value = getattr(asked, f"Affected{keyword}", None) or getattr(
            asked, f"Requested{keyword}", None
        )
        setattr(response, f"Affected{keyword}", value)
    for keyword in ("EventTypeID", "ActionTypeID"):
        if hasattr(asked, keyword):
            setattr(response, keyword, getattr(asked, keyword))
    built: Primitive = response
    return built
