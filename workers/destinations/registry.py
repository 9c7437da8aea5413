"""The destination kinds that exist."""

from collections.abc import Mapping
from typing import Any, Final

from db.routes import DestinationTable
from workers.destinations.dimse import DIMSE
from workers.destinations.kind import DestinationKind, DestinationSettings
from workers.results.selection import select_results

DESTINATION_KINDS: Final[Mapping[str, DestinationKind[Any]]] = {
    kind.name: kind for kind in (DIMSE,)
}


class UnknownDestinationKind(ValueError):
    """Raised when the routes file names a kind that does not exist."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind!r} is not a destination kind; there is {', '.join(DESTINATION_KINDS)}"
        )


def find_kind(name: str) -> DestinationKind[Any]:
    """Return a destination kind by name. Raises UnknownDestinationKind."""
    try:
        return DESTINATION_KINDS[name]
    except KeyError:
        raise UnknownDestinationKind(name) from None


def check_destination(table: DestinationTable) -> None:
    """Check kind, settings, profile and results of a `[[destination]]`; for `db.routes.load_routes`.

    Raises:
        ValueError: names what is wrong.
    """
    find_kind(table.kind).parse_settings(table.settings)
    select_results(table)


def describe_address(table: DestinationTable) -> str:
    """Return where a destination is, for people. Raises as `check_destination`."""
    settings: DestinationSettings = find_kind(table.kind).parse_settings(table.settings)
    return settings.address
