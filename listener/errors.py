"""Errors of the listener. Their texts contain nothing that came from the network."""

from pathlib import Path
from traceback import extract_tb


class ListenerError(Exception):
    """Base class of the errors of this package.

    Sending the same object again cannot resolve a ``permanent`` error.
    """

    permanent = True


class NotAuthorized(ListenerError):
    """Raised when a sender was removed from the routes file during its association."""

    def __init__(self) -> None:
        super().__init__("The routes file has no source for this sender. Add it as a [[source]].")


class IdentityMismatch(ListenerError):
    """Raised when C-STORE request and data set disagree (PS3.4 B.2.3, status A9xx)."""

    def __init__(self, keyword: str) -> None:
        super().__init__(f"The data set's {keyword} differs from that of the C-STORE request.")
        self.keyword = keyword


class UnknownTransaction(ListenerError):
    """Raised for a storage commitment report with an unknown Transaction UID."""

    code = "unknown-transaction"

    def __init__(self) -> None:
        super().__init__("Sonogate requested no storage commitment with this Transaction UID.")


class IndexerRunning(ListenerError):
    """Raised when another process holds the lock of the indexer."""

    permanent = False

    def __init__(self) -> None:
        super().__init__("An indexer works on this file store. Stop it first, with `sonogate up`.")


class CannotListen(ListenerError):
    """Raised when the configured address and port are not available."""

    permanent = False

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port}: {reason}."
            " Set SONOGATE_DICOM_HOST and SONOGATE_DICOM_PORT to an available one"
        )
        self.host = host
        self.port = port


def locate(error: Exception) -> str:
    """Return type and source line of an error without its text, which may quote the data set."""
    frame = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
