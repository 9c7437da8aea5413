"""UIDs that follow from what they name, so that making an object twice makes the same object."""

import json
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("e705e83a-8111-4735-ae52-4df1b6c9144d")
"""Never to change: every UID that Sonogate ever gave depends on it."""


def derived_uid(*parts: str) -> str:
    """Return the UID under `2.25` (PS3.5 B.2) of the UUIDv5 of `parts`: the same for the same.

    Raises ValueError when there are no parts, or when one is empty: such a UID would be shared
    by objects that have nothing in common.
    """
    if not parts or not all(parts):
        raise ValueError("derived_uid needs at least one part, and no empty one")
    return f"2.25.{uuid5(NAMESPACE, json.dumps(parts)).int}"


IMPLEMENTATION_CLASS_UID: Final = derived_uid("sonogate", "implementation-class")
IMPLEMENTATION_VERSION_NAME: Final = "SONOGATE_1"
CODING_SCHEME_UID: Final = derived_uid("sonogate", "coding-scheme")
"""Names the private coding scheme 99SONOGATE (see `dicom.codes`)."""
