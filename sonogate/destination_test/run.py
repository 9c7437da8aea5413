"""Results of a made-up study at a real destination: what it takes, finds and gives back."""

import enum
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from dicom.commitment import FAILURE_REASONS, CommitmentReport
from dicom.differences import find_differences
from dicom.errors import DicomError
from dicom.files import read_dataset
from sonogate.destination_test.objects import Piece
from workers.errors import PeerError, ServiceNotOffered
from workers.peers.query_scu import (
    Brought,
    CommitmentBook,
    Found,
    find,
    get,
    request_commitment,
)
from workers.peers.store_scu import Call, Peer, SendOutcome, echo, send

T = TypeVar("T")
_META_START: Final = 140
"""Of the value of File Meta Information Group Length (PS3.10 7.1)."""
OTHERWISE: Final = "every attribute is the same, but written otherwise"


class Back(enum.StrEnum):
    """What came when an object was asked back."""

    SAME = "came back with the same bytes"
    OTHER = "came back with OTHER bytes"
    NOTHING = "did NOT come back"


@dataclass(frozen=True)
class Fate:
    """What became of one object; None: the destination cannot be asked, or did not say."""

    spec: str
    problem: str = ""
    """Why it was not stored."""
    warning: int = 0x0000
    """The status of C-STORE, where it was stored with one that warns."""
    found: bool | None = None
    back: Back | None = None
    changes: tuple[str, ...] = ()
    """What other bytes say otherwise, attribute by attribute."""
    committed: bool | None = None
    uncommitted: str = ""
    """Why the destination does not commit itself to keep it."""
    failures: tuple[str, ...] = ()
    """How it ended what it was asked, when that was not with success."""

    @property
    def survived(self) -> bool:
        kept = self.found is not False and self.committed is not False
        asked = not self.problem and not self.failures
        return kept and asked and self.back in (None, Back.SAME)


@dataclass(frozen=True)
class Answers:
    """What the destination said of the objects that it took; None: it cannot be asked."""

    found: Mapping[str, Found] | None = None
    brought: Mapping[str, Brought] = field(default_factory=dict)
    report: CommitmentReport | None = None

    def fate(self, piece: Piece, status: int) -> Fate:
        uid = piece.instance.sop_instance_uid
        found = None if self.found is None else self.found[uid]
        brought = self.brought.get(uid)
        committed = None if self.report is None else uid in self.report.committed
        back, changes = _compare(piece.path, brought)
        return Fate(
            piece.spec,
            warning=status,
            found=_is_there(found),
            back=back,
            changes=tuple(changes),
            committed=committed,
            uncommitted=self._why_not(uid) if committed is False else "",
            failures=tuple(each.problem for each in (found, brought) if each and each.problem),
        )

    def _why_not(self, uid: str) -> str:
        assert self.report is not None
        reason = self.report.failed.get(uid)
        if reason is None:
            return "its report does not name the object"
        return FAILURE_REASONS.get(reason, f"failure reason 0x{reason:04X}")


@dataclass(frozen=True)
class Rehearsal:
    """How a destination did. The services are told in words."""

    fates: tuple[Fate, ...]
    services: dict[str, str]

    @property
    def survivors(self) -> int:
        return sum(fate.survived for fate in self.fates)


@dataclass(frozen=True)
class Patience:
    """For how long a destination is waited for, in seconds."""

    connect_seconds: float
    answer_seconds: float
    find_seconds: float
    """It may index what it took only later."""
    commit_seconds: float
    """Its report about storage commitment may come by another association."""


def rehearse(
    pieces: Sequence[Piece],
    peer: Peer,
    book: CommitmentBook,
    *,
    calling_ae: str,
    patience: Patience,
) -> Rehearsal:
    """Store, then ask back what was taken, as far as the peer offers it.

    Raises PeerError when the peer cannot be reached or takes none of the objects.
    """
    call = Call(peer, calling_ae, patience.connect_seconds, patience.answer_seconds)
    limits = {"connect_seconds": call.connect_seconds, "answer_seconds": call.answer_seconds}
    echo(peer, calling_ae=calling_ae, **limits)
    outcomes = send([piece.path for piece in pieces], peer, calling_ae=calling_ae, **limits)
    taken = [piece.instance for piece, done in zip(pieces, outcomes, strict=True) if done.accepted]
    if not taken:
        return Rehearsal(tuple(_fates(pieces, outcomes, Answers())), {})
    found, finding = _offered(lambda: find(call, taken, seconds=patience.find_seconds))
    brought, getting = _offered(lambda: get(call, taken))
    report, committing = _commitment(
        lambda: request_commitment(call, book, taken, seconds=patience.commit_seconds),
        patience.commit_seconds,
    )
    fates = _fates(pieces, outcomes, Answers(found, brought or {}, report))
    services = {
        "C-FIND": _with_failures(finding, found),
        "C-GET": _with_failures(getting, brought),
        "storage commitment": committing,
    }
    return Rehearsal(tuple(fates), services)


def _offered(ask: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return ask(), "offered"
    except ServiceNotOffered:
        return None, "not offered"
    except PeerError as error:
        return None, str(error)


def _with_failures(word: str, answers: Mapping[str, Found] | Mapping[str, Brought] | None) -> str:
    failed = sum(bool(each.problem) for each in (answers or {}).values())
    return f"{word}, but FAILED for {failed} of {len(answers or {})} objects" if failed else word


def _commitment(
    ask: Callable[[], tuple[int | None, CommitmentReport | None]], seconds: float
) -> tuple[CommitmentReport | None, str]:
    answered, word = _offered(ask)
    if answered is None:
        return None, word
    status, report = answered
    if report is not None:
        return report, "offered"
    if status is None:
        return None, "no answer; does it know our AE title?"
    if status:
        return None, f"refused with status 0x{status:04X}"
    return None, (
        f"requested, but no report came within {seconds:g} s. It goes to our listener: is that"
        " running, and does the PACS know its AE title, host and port?"
    )


def _fates(
    pieces: Sequence[Piece], outcomes: Sequence[SendOutcome], answers: Answers
) -> Iterator[Fate]:
    for piece, outcome in zip(pieces, outcomes, strict=True):
        if not outcome.accepted:
            yield Fate(piece.spec, outcome.problem)
            continue
        yield answers.fate(piece, outcome.status or 0x0000)


def _is_there(found: Found | None) -> bool | None:
    """What ended without success says only what it found."""
    if found is None or (found.problem and not found.there):
        return None
    return found.there


def _compare(sent: Path, brought: Brought | None) -> tuple[Back | None, list[str]]:
    """What came back, and what other bytes say otherwise."""
    if brought is None or (brought.problem and brought.content is None):
        return None, []
    if brought.content is None:
        return Back.NOTHING, []
    meta, content = _split(sent)
    if brought.content == content:
        return Back.SAME, []
    return Back.OTHER, _changes(sent, meta + brought.content)


def _changes(sent: Path, content: bytes) -> list[str]:
    """Of the made-up study, so that values may be told."""
    came = sent.with_suffix(".came")
    came.write_bytes(content)
    try:
        return find_differences(read_dataset(sent), read_dataset(came)) or [OTHERWISE]
    except DicomError as error:
        return [str(error)]


def _split(path: Path) -> tuple[bytes, bytes]:
    """The file meta information, which is whoever's wrote the file, and the data set."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<L", content, _META_START)
    start = _META_START + 4 + length
    return content[:start], content[start:]
