"""The query string of the audit page: tags, actors, study ids and dates, never patient data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from werkzeug.exceptions import BadRequest

from db.events import EventFilter


@dataclass(frozen=True)
class AuditQuery:
    """A page of the audit log. ``arguments`` parse back to the same query."""

    wanted: EventFilter
    arguments: dict[str, str]
    number: int = 1

    def at_page(self, number: int) -> dict[str, str]:
        return {**self.arguments, "page": str(number)}


def parse_query(arguments: Mapping[str, str]) -> AuditQuery:
    """Parse the arguments of an audit address.

    Raises:
        BadRequest: a value is malformed.
    """
    given = {
        name: arguments[name]
        for name in ("tag", "actor", "study", "from", "to")
        if arguments.get(name)
    }
    try:
        wanted = EventFilter(
            tag=given.get("tag", ""),
            actor=given.get("actor", ""),
            study_id=UUID(given["study"].strip()) if "study" in given else None,
            since=_parse_day(given["from"]) if "from" in given else None,
            until=_parse_day(given["to"]) + timedelta(days=1) if "to" in given else None,
        )
        return AuditQuery(wanted, given, max(1, int(arguments.get("page") or 1)))
    except (ValueError, OverflowError):
        raise BadRequest from None


def _parse_day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
