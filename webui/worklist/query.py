"""The query of the worklist. The address carries all of it except the search text.

A search text is a patient's name or number, and addresses end up in logs, browser histories and
proxies. The text is therefore sent by POST and stored in the signed, HttpOnly session cookie, which
ends with the browser.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from werkzeug.exceptions import BadRequest

from db.schema import StudyStatus
from db.worklist import DeliveryState, ReviewState, SortKey, WorklistFilter, WorklistOrder
from dicom.terms.classification import CLASSES, UNDECIDED

MAX_TEXT_LENGTH = 64
CHOICES = (*CLASSES, UNDECIDED)
"""AI results that the list can be filtered by."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PAGE_NUMBER = re.compile(r"[0-9]{1,6}")
_DESCENDING_FIRST = (
    SortKey.RECEIVED,
    SortKey.STUDY_DATE,
    SortKey.CONFIDENCE,
    SortKey.SUSPICION,
)
Choice = TypeVar("Choice", bound=enum.StrEnum)


@dataclass(frozen=True)
class WorklistQuery:
    """A page of the worklist: its filter, order and number."""

    wanted: WorklistFilter
    order: WorklistOrder
    default: WorklistOrder
    number: int = 1

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for ``url_for`` that parse back to this query, without the search text."""
        arguments = {
            "status": self.wanted.status or "",
            "label": self.wanted.label,
            "review": self.wanted.review or "",
            "delivery": self.wanted.delivery or "",
            "from": _format_date(self.wanted.date_from),
            "to": _format_date(self.wanted.date_to),
            "page": str(self.number) if self.number > 1 else "",
        }
        if self.order != self.default:
            arguments["sort"] = self.order.key.value
            arguments["order"] = "down" if self.order.descending else "up"
        return {name: str(value) for name, value in arguments.items() if value}

    def sorted_by(self, name: str) -> dict[str, Any]:
        """Arguments of the link in a column header; a second click reverses the order."""
        key = SortKey(name)
        is_current = self.order.key is key
        descending = not self.order.descending if is_current else key in _DESCENDING_FIRST
        return replace(self, order=WorklistOrder(key, descending), number=1).arguments

    def at_page(self, number: int) -> dict[str, Any]:
        return replace(self, number=number).arguments

    @property
    def is_filtered(self) -> bool:
        return self.wanted != WorklistFilter()


def parse_query(arguments: Mapping[str, str], text: str, *, suspicion_first: bool) -> WorklistQuery:
    """Parse the arguments of a worklist address.

    Raises:
        BadRequest: a value is malformed, or asks for an order that the site does not offer.
    """
    default = WorklistOrder(SortKey.SUSPICION) if suspicion_first else WorklistOrder()
    label = arguments.get("label", "")
    if label and label not in CHOICES:
        raise BadRequest
    wanted = WorklistFilter(
        text=text,
        status=_parse_choice(StudyStatus, arguments.get("status", "")),
        label=label,
        review=_parse_choice(ReviewState, arguments.get("review", "")),
        delivery=_parse_choice(DeliveryState, arguments.get("delivery", "")),
        date_from=_parse_date(arguments.get("from", "")),
        date_to=_parse_date(arguments.get("to", "")),
    )
    key = _parse_choice(SortKey, arguments.get("sort", ""))
    order = WorklistOrder(key, arguments.get("order") == "down") if key else default
    if order.key is SortKey.SUSPICION and not suspicion_first:
        raise BadRequest
    page = arguments.get("page", "1")
    if not _PAGE_NUMBER.fullmatch(page):
        raise BadRequest
    return WorklistQuery(wanted, order, default, max(1, int(page)))


def _parse_choice(choices: type[Choice], text: str) -> Choice | None:
    if not text:
        return None
    try:
        return choices(text)
    except ValueError:
        raise BadRequest from None


def _parse_date(text: str) -> str:
    """Convert 2026-11-20 to a DA, as the database stores it."""
    if text and not _DATE.fullmatch(text):
        raise BadRequest
    return text.replace("-", "")


def _format_date(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""
