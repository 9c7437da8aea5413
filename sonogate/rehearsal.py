"""Results of a made-up study at a real destination: what it takes, finds and gives back."""

import enum
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import pydicom

from dicom.commitment import FAILURE_REASONS, CommitmentReport
from dicom.files import write_dataset
from dicom.results import StudyResult
from dicom.variants import build_set, verify
from sonogate.ledger import Ledger
from workers.errors import NothingAccepted, PeerProblem
from workers.query_client import Instance, find, get, request_commitment
from workers.store_client import Call, Peer, SendOutcome, echo, send
from workers.wishes import Wish

T = TypeVar("T")
_META_START: Final = 140
"""Of the value of File Meta Information Group Length (PS3.10 7.1)."""


@dataclass(frozen=True)
class Piece:
    """One object of the rehearsal, on disk."""

    spec: str
    path: Path
    instance: Instance


class Back(enum.StrEnum):
    """What came when an object was asked back."""

    SAME = "came back with the same bytes"
    OTHER = "came back with OTHER bytes"
    NOTHING = "did NOT come back"


@dataclass(frozen=True)
class Fate:
    """What became of one object; None: the destination cannot be asked."""

    spec: str
    problem: str = ""
    """Why it was not stored."""
    found: bool | None = None
    back: Back | None = None
    committed: bool | None = None
    uncommitted: str = ""
    """Why the destination does not commit itself to keep it."""

    @property
    def survived(self) -> bool:
        kept = self.found is not False and self.committed is not False
        return kept and not self.problem and self.back in (None, Back.SAME)


@dataclass(frozen=True)
class Answers:
    """What the destination said of the objects that it took; None: it cannot be asked."""

    found: set[str] | None = None
    brought: dict[str, bytes | None] = field(default_factory=dict)
    report: CommitmentReport | None = None

    def fate(self, piece: Piece) -> Fate:
        uid = piece.instance.sop_instance_uid
        committed = None if self.report is None else uid in self.report.committed
        return Fate(
            piece.spec,
            found=None if self.found is None else uid in self.found,
            back=_compare(piece.path, self.brought[uid]) if uid in self.brought else None,
            committed=committed,
            uncommitted=self._why_not(uid) if committed is False else "",
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


def make_pieces(result: StudyResult, wish: Wish, folder: Path) -> list[Piece]:
    """Write every object of `wish`, each checked by what stands on disk. Raises DicomError."""
    pieces = []
    for spec, datasets in build_set(wish, result).items():
        for number, dataset in enumerate(datasets, start=1):
            name = f"{str(spec).replace(':', '-')}.{number}.dcm"
            path = write_dataset(dataset, folder / name).path
            verify(spec, path, dataset, result)
            pieces.append(Piece(str(spec), path, _instance(path)))
    return pieces


def _instance(path: Path) -> Instance:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return Instance(
        str(header.SOPClassUID),
        str(header.file_meta.TransferSyntaxUID),
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
    )


def rehearse(
    pieces: Sequence[Piece],
    peer: Peer,
    ledger: Ledger,
    *,
    calling_ae: str,
    connect_seconds: float,
    answer_seconds: float,
    commit_seconds: float,
) -> Rehearsal:
    """Store, then ask back what was taken, as far as the peer offers it.

    Its report about storage commitment is awaited for ``commit_seconds``.

    Raises PeerProblem when the peer cannot be reached or takes none of the objects.
    """
    limits = {"connect_seconds": connect_seconds, "answer_seconds": answer_seconds}
    echo(peer, calling_ae=calling_ae, **limits)
    outcomes = send([piece.path for piece in pieces], peer, calling_ae=calling_ae, **limits)
    taken = [piece.instance for piece, done in zip(pieces, outcomes, strict=True) if done.accepted]
    if not taken:
        return Rehearsal(tuple(_fates(pieces, outcomes, Answers())), {})
    call = Call(peer, calling_ae, connect_seconds, answer_seconds)
    found, finding = _offered(lambda: find(call, taken))
    brought, getting = _offered(lambda: get(call, taken))
    report, committing = _commitment(call, taken, ledger, commit_seconds)
    fates = _fates(pieces, outcomes, Answers(found, brought or {}, report))
    services = {"C-FIND": finding, "C-GET": getting, "storage commitment": committing}
    return Rehearsal(tuple(fates), services)


def _offered(ask: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return ask(), "offered"
    except NothingAccepted:
        return None, "not offered"
    except PeerProblem as error:
        return None, str(error)


def _commitment(
    call: Call, taken: Sequence[Instance], ledger: Ledger, seconds: float
) -> tuple[CommitmentReport | None, str]:
    transaction_uid = ledger.ask({each.sop_instance_uid for each in taken})
    answered, word = _offered(
        lambda: request_commitment(
            call, transaction_uid, taken,
            arrived=lambda: ledger.answer(transaction_uid), seconds=seconds,
        )
    )  # fmt: skip
    if answered is None:
        return None, word
    status, report = answered
    if report is not None:
        ledger.keep(report, call.peer)
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
        yield answers.fate(piece)


def _compare(sent: Path, brought: bytes | None) -> Back:
    if brought is None:
        return Back.NOTHING
    return Back.SAME if brought == _data_set(sent) else Back.OTHER


def _data_set(path: Path) -> bytes:
    """Without the file meta information, which is whoever's wrote the file."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<L", content, _META_START)
    return content[_META_START + 4 + length :]
