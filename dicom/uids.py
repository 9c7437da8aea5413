"""UIDs derived from their content, so that building an object again gives the same object."""

import json
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("e705e83a-8111-4735-ae52-4df1b6c9144d")
"""Must never change: all UIDs that Sonogate assigns derive from it."""


def derived_uid(*parts: str) -> str:
    """Return a UID under `2.25` (PS3.5 B.2) from the UUIDv5 of `parts`.

    Raises ValueError without parts or for an empty part, since unrelated objects would then share
    a UID.
    """
    if not parts or not all(parts):
        raise ValueError("derived_uid needs at least one part, and none may be empty")
    return f"2.25.{uuid5(NAMESPACE, json.dumps(parts)).int}"


IMPLEMENTATION_CLASS_UID: Final = derived_uid("sonogate", "implementation-class")
IMPLEMENTATION_VERSION_NAME: Final = "SONOGATE_1"
CODING_SCHEME_UID: Final = derived_uid("sonogate", "coding-scheme")
"""Identifies the private coding scheme 99SONOGATE (see `dicom.codes`)."""
PRIVATE_INFORMATION_UID: Final = derived_uid("sonogate", "private-information")
"""Private Information Creator UID (0002,0100) of received files."""
