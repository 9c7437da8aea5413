"""The audit page's address: filters by our own words and ids only, never by a patient's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from werkzeug.exceptions import BadRequest

from db.events import EventFilter


@dataclass(frozen=True)
class Query:
    """``arguments`` give the same query again when they are parsed."""

    wanted: EventFilter
    arguments: dict[str, str]
    number: int = 1

    def at_page(self, number: int) -> dict[str, str]:
        return {**self.arguments, "page": str(number)}


def parse(arguments: Mapping[str, str]) -> Query:
    """Raises BadRequest for a value that no page of ours sends."""
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
            since=_day(given["from"]) if "from" in given else None,
            until=_day(given["to"]) + timedelta(days=1) if "to" in given else None,
        )
        return Query(wanted, given, max(1, int(arguments.get("page") or 1)))
    except (ValueError, OverflowError):
        raise BadRequest from None


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
