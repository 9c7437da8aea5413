"""The meaning of C-STORE statuses (PS3.4 B.2.3, PS3.7 Annex C).

STOW-RS reports the same values in Failure Reason (0008,1197) and Warning Reason (0008,1196).
"""

from pathlib import Path
from typing import Final

from workers.destinations.kind import SendOutcome

_ACCEPTED: Final = frozenset(
    {
        0x0000,
        0x0001,
        0x0107,
        # Duplicate SOP instance. UIDs derive from the analysis, so the PACS has this very object.
        0x0111,
    }
)
_PERMANENT: Final = frozenset({0x0105, 0x0106, 0x0117, 0x0122})
_TEXTS: Final = {
    0xA7: "out of resources",
    0xA9: "data set does not match SOP class",
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
}


def is_accepted(status: int) -> bool:
    """Return whether the destination has stored the object: success or warning."""
    return status in _ACCEPTED or status >> 12 == 0xB


def judge_status(path: Path, status: int) -> SendOutcome:
    """Return the outcome of sending a file that was answered with a status."""
    if is_accepted(status):
        return SendOutcome(path, status)
    permanent = status in _PERMANENT or status >> 8 == 0xA9 or status >> 12 == 0xC
    text = _TEXTS.get(status) or _TEXTS.get(status >> 8, "cannot understand or store the object")
    return SendOutcome(path, status, f"refused with status 0x{status:04X}: {text}", permanent)
