"""What happens on an association. No handler throws: a failure is a status and a log line."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
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
from db.intake import Sender
from db.routes import Source
from db.routes_file import RoutesFile
from db.types import now_utc
from dicom.commitment import EVENT_TYPES, parse_commitment_report
from dicom.images.header import InstanceHeader
from listener import facts
from listener.commitments import Commitments
from listener.errors import IdentityMismatch, NotAuthorized
from listener.journal import Journal
from listener.keeper import Keeper
from listener.part10 import read_whole
from listener.spool import Spool
from listener.statuses import (
    SUCCESS,
    UNEXPECTED,
    Answer,
    Status,
    answer_to,
    answer_to_report,
)

logger = logging.getLogger(__name__)

# A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, reason
_UNKNOWN_CALLER: Final = (1, 1, 3)
_UNKNOWN_CALLED: Final = (1, 1, 7)
_NAMED_IN_LOG: Final = 5
# Result/Reason of a presentation context (PS3.8 9.3.3.2)
_REASONS: Final = {3: "abstract-syntax-not-supported", 4: "transfer-syntaxes-not-supported"}


@dataclass
class _Reply:
    """The answer so far; nobody who forgets to set one promises anything."""

    answer: Answer = UNEXPECTED


@dataclass(frozen=True)
class _Rejection:
    """A presentation context that we turned down; of transfer syntaxes at fault the first."""

    abstract_syntax: str
    transfer_syntax: str
    name: str
    reason: str

    @classmethod
    def of(cls, context: PresentationContext) -> Self:
        abstract_syntax = UID(facts.clean(context.abstract_syntax or "", 64))
        reason = _REASONS.get(context.result or 0, "rejected")
        at_fault = context.transfer_syntax[0] if reason == _REASONS[4] else ""
        return cls(abstract_syntax, facts.clean(at_fault, 64), abstract_syntax.name, reason)


class Handlers:
    """The edge between pynetdicom's events and ours."""

    def __init__(
        self,
        routes: RoutesFile,
        spool: Spool,
        keeper: Keeper,
        commitments: Commitments,
        journal: Journal,
        called_ae: str,
    ) -> None:
        """``called_ae``: the only AE title that we answer to; empty for any."""
        self._routes = routes
        self._spool = spool
        self._keeper = keeper
        self._commitments = commitments
        self._journal = journal
        self._called_ae = called_ae
        self._lock = Lock()
        self._rejections: defaultdict[Sender, set[_Rejection]] = defaultdict(set)

    def bindings(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_ACCEPTED, self.on_accepted),
            (evt.EVT_REJECTED, self.on_rejected),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_EVENT_REPORT, self.on_event_report),
            (evt.EVT_N_ACTION, self.on_action),
        ]

    def on_requested(self, event: evt.Event) -> None:
        """Refuse callers that are neither source nor destination, before anything is negotiated.

        A destination may call to tell of storage commitment; what it stores is refused one by one.
        """
        sender = _sender(event.assoc)
        if not self._is_known(sender):
            self._refuse(event.assoc, sender, _UNKNOWN_CALLER, "unknown-source")
        elif self._called_ae not in ("", _request(event.assoc).called_ae_title):
            self._refuse(event.assoc, sender, _UNKNOWN_CALLED, "unknown-called-ae")

    def on_rejected(self, event: evt.Event) -> None:
        """pynetdicom's own refusal: too many associations at once."""
        self._note_refusal(_sender(event.assoc), "too-many-associations")

    def on_accepted(self, event: evt.Event) -> None:
        """Tell of the contexts that we turned down: else images stay away and nobody knows why.

        Many senders propose every class that they know on every association: each is told of once.
        """
        rejected = {_Rejection.of(context) for context in event.assoc.rejected_contexts}
        if not rejected:
            return
        sender = _sender(event.assoc)
        with self._lock:
            fresh = rejected - self._rejections[sender]
            self._rejections[sender] |= fresh
        if fresh:
            self._tell_of(sender, sorted(fresh, key=astuple))
        else:
            self._journal.count(sender, "context-rejected")

    def on_store(self, event: evt.Event) -> Dataset:
        """C-STORE: Success stands for bytes on disk and a committed row."""
        sender = _sender(event.assoc)
        with self._answering(sender) as reply:
            source = self._authorize(sender)
            part = self._spool.received(event.dataset_path)
            header = _examine(part, event)
            kept = self._keeper.keep(
                part,
                facts.received_from(header, sender),
                stable_after=timedelta(seconds=source.stable_after_seconds),
                now=now_utc(),
            )
            logger.info("%s: instance %s %s", _who(sender), kept.instance_id, kept.outcome)
            reply.answer = SUCCESS
        return reply.answer.as_dataset()

    def on_event_report(self, event: evt.Event) -> tuple[int, None]:
        """N-EVENT-REPORT of storage commitment (PS3.4 J.3.3): Success stands for a committed row."""
        sender = _sender(event.assoc)
        if event.event_type not in EVENT_TYPES:
            return int(Status.NO_SUCH_EVENT_TYPE), None
        try:
            report = parse_commitment_report(event.event_information)
            self._commitments.keep(report, sender)
        except Exception as error:  # noqa: BLE001  what is thrown here, pynetdicom answers 0110 to
            answer = answer_to_report(error)
            logger.error("%s: report refused: %s (%s)", _who(sender), answer.code, _place(error))
            self._journal.count(sender, f"report-refused:{answer.code}")
            return int(answer.status), None
        kept, lost = len(report.committed), len(report.failed)
        logger.info("%s: storage commitment: %d kept, %d not", _who(sender), kept, lost)
        return int(Status.SUCCESS), None

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """N-ACTION: what we keep is for analysis; we are no archive and commit ourselves to none."""
        logger.warning("%s: storage commitment was asked of us", _who(_sender(event.assoc)))
        return int(Status.SOP_CLASS_NOT_SUPPORTED), None

    @contextmanager
    def _answering(self, sender: Sender) -> Iterator[_Reply]:
        """Whatever goes wrong inside becomes a status, a log line and an event."""
        reply = _Reply()
        try:
            yield reply
        except Exception as error:  # noqa: BLE001  what is thrown here, pynetdicom answers C211 to
            reply.answer = answer_to(error)
            code = reply.answer.code
            logger.error("%s: object refused: %s (%s)", _who(sender), code, _place(error))
            self._journal.note(
                AuditTag.INSTANCE_REFUSED,
                sender,
                f"refused:{code}",
                status=f"{reply.answer.status:04X}",
                code=code,
            )

    def _tell_of(self, sender: Sender, rejected: list[_Rejection]) -> None:
        first = ", ".join(f"{one.name} ({one.reason})" for one in rejected[:_NAMED_IN_LOG])
        more = f" and {len(rejected) - _NAMED_IN_LOG} more" if len(rejected) > _NAMED_IN_LOG else ""
        logger.warning("%s: contexts rejected: %s%s", _who(sender), first, more)
        self._journal.note(
            AuditTag.CONTEXT_REJECTED,
            sender,
            "context-rejected",
            contexts=[asdict(one) for one in rejected],
        )

    def _source_of(self, sender: Sender) -> Source | None:
        """The first source that admits the sender, as the routes file says at this moment."""
        return self._routes.current().source_for(sender.calling_ae, sender.address)

    def _is_known(self, sender: Sender) -> bool:
        is_source = self._source_of(sender) is not None
        return is_source or self._routes.current().has_destination(sender.calling_ae)

    def _authorize(self, sender: Sender) -> Source:
        source = self._source_of(sender)
        if source is None:
            raise NotAuthorized
        return source

    def _refuse(
        self, association: Association, sender: Sender, reason: tuple[int, int, int], code: str
    ) -> None:
        association.acse.send_reject(*reason)
        self._note_refusal(sender, code)
        association.kill()

    def _note_refusal(self, sender: Sender, code: str) -> None:
        logger.warning("%s: association refused: %s", _who(sender), code)
        self._journal.note(
            AuditTag.ASSOCIATION_REFUSED, sender, f"association-refused:{code}", code=code
        )


def _examine(part: Path, event: evt.Event) -> InstanceHeader:
    """The header of an object that is whole, and the one that the request speaks of."""
    header = read_whole(part)
    request: Any = event.request
    for keyword, found, promised in (
        ("SOPInstanceUID", header.sop_instance_uid, request.AffectedSOPInstanceUID),
        ("SOPClassUID", header.sop_class_uid, request.AffectedSOPClassUID),
        ("SOPClassUID", header.sop_class_uid, event.context.abstract_syntax),
    ):
        if found != str(promised).strip("\0 "):  # padding is not part of a UID
            raise IdentityMismatch(keyword)
    return header


def _sender(association: Association) -> Sender:
    calling_ae = _request(association).calling_ae_title
    return facts.sender_of(calling_ae, association.requestor.address)


def _request(association: Association) -> A_ASSOCIATE:
    request = association.requestor.primitive
    assert request is not None  # pynetdicom raises no event of ours before it came
    return request


def _who(sender: Sender) -> str:
    return f"{sender.calling_ae or '(no AE title)'} at {sender.address}"


def _place(error: Exception) -> str:
    """Where it happened, without the exception's own text, which may quote the data set."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
