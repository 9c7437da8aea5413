"""Storage SCU: C-STORE of DICOM files."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import build_context
from pynetdicom.association import Association

from workers.destinations.dimse.association import AssociationRequestor
from workers.destinations.kind import SendOutcome
from workers.destinations.statuses import judge_status
from workers.errors import PeerError

_MAX_ANSWER_TIMEOUTS: Final = 10
"""After this many times the timeout for a response, no further association is requested."""
_CONNECTION_LOST: Final = "not sent: the connection was lost"
_NO_RESPONSE: Final = "no response: the peer timed out or closed the connection"


@dataclass(frozen=True)
class _DicomFile:
    """A file that can be sent, with the presentation context that it needs."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


def send(requestor: AssociationRequestor, paths: Sequence[Path]) -> list[SendOutcome]:
    """Send DICOM files with C-STORE, without changing a byte, over one association.

    An object that the peer refuses, and a file that cannot be read, do not stop the others. If the
    association is lost, the objects after that are sent over another one. An object without a
    response has the status None.

    Raises:
        PeerError: no association could be established.
    """
    checked = [_read_meta(path) for path in paths]
    files = [file for file in checked if isinstance(file, _DicomFile)]
    outcomes = iter(_send_all(requestor, files))
    return [next(outcomes) if isinstance(file, _DicomFile) else file for file in checked]


def _send_all(requestor: AssociationRequestor, files: Sequence[_DicomFile]) -> list[SendOutcome]:
    """Send over further associations what follows an object at which the peer aborts: it may
    abort there at every attempt.
    """
    outcomes: list[SendOutcome] = []
    deadline = time.monotonic() + _MAX_ANSWER_TIMEOUTS * requestor.response_timeout_seconds
    while len(outcomes) < len(files):
        unsent = files[len(outcomes) :]
        if outcomes and time.monotonic() > deadline:
            return outcomes + _not_sent(unsent, "the peer took too long for the other objects")
        try:
            outcomes += _send_over_one_association(requestor, unsent)
        except PeerError as error:
            if not outcomes:
                raise
            return outcomes + _not_sent(unsent, str(error))
    return outcomes


def _send_over_one_association(
    requestor: AssociationRequestor, files: Sequence[_DicomFile]
) -> list[SendOutcome]:
    """Return the outcomes of the first file, and of the others until the association is lost."""
    # One presentation context for each pair: of several transfer syntaxes in one context the peer
    # picks one, and objects in the others could not be sent.
    contexts = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files})
    outcomes: list[SendOutcome] = []
    with requestor.associate([build_context(*context) for context in contexts]) as association:
        for number, file in enumerate(files, start=1):
            if outcomes and not association.is_established:
                break
            outcomes.append(_send_one(association, file.path, number))
            if outcomes[-1].problem in (_CONNECTION_LOST, _NO_RESPONSE):
                association.join(
                    requestor.connect_timeout_seconds
                )  # pynetdicom notices a moment later
                break
    return outcomes


def _send_one(association: Association, path: Path, number: int) -> SendOutcome:
    try:
        # Message IDs have 16 bits (PS3.7 E.1), and only one request is open at a time.
        status = association.send_c_store(path, msg_id=(number - 1) % 0xFFFF + 1).get("Status")
    except ValueError:  # no accepted presentation context
        problem = "the peer accepts no presentation context for this SOP class and transfer syntax"
        return SendOutcome(path, None, problem)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename:  # not an error of the socket
            return _unreadable(path, error)
        return SendOutcome(path, None, _CONNECTION_LOST)
    if status is None:
        return SendOutcome(path, None, _NO_RESPONSE)
    return judge_status(path, int(status))


def _read_meta(path: Path) -> _DicomFile | SendOutcome:
    """Read the presentation context from the file meta information."""
    not_dicom = SendOutcome(path, None, "not a DICOM file that can be sent", permanent=True)
    try:
        meta = read_file_meta_info(path)
        if "MediaStorageSOPInstanceUID" not in meta:
            return not_dicom
        return _DicomFile(path, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
    except OSError as error:
        # Only errors of the operating system have a number; pydicom's own are truncated files.
        return not_dicom if error.errno is None else _unreadable(path, error)
    except (InvalidDicomError, AttributeError, ValueError, EOFError):
        return not_dicom


def _not_sent(files: Sequence[_DicomFile], reason: str) -> list[SendOutcome]:
    return [SendOutcome(file.path, None, f"not sent: {reason}") for file in files]


def _unreadable(path: Path, error: OSError) -> SendOutcome:
    """Not permanent: a file system that is not mounted comes back."""
    return SendOutcome(path, None, f"the local file cannot be read: {error.strerror}")
