"""What of the worklist is asked for. The address carries everything but the search text.

A search text is a patient's name or number, and addresses end up in logs, histories and proxies: so
it is sent by POST and kept in the signed, HttpOnly session cookie, which ends with the browser.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from werkzeug.exceptions import BadRequest

from db.schema import StudyStatus
from db.worklist import DeliveryState, Filter, Order, ReviewState, SortKey
from dicom.terms.classification import CLASSES, UNDECIDED

MAX_TEXT_LENGTH = 64
CHOICES = (*CLASSES, UNDECIDED)
"""AI results that the list can be narrowed to."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DESCENDING_FIRST = (
    SortKey.RECEIVED,
    SortKey.STUDY_DATE,
    SortKey.CONFIDENCE,
    SortKey.SUSPICION,
)
Choice = TypeVar("Choice", bound=enum.StrEnum)


@dataclass(frozen=True)
class Query:
    """A page of the worklist: its filter, order and number."""

    wanted: Filter
    order: Order
    default: Order
    number: int = 1

    @property
    def arguments(self) -> dict[str, Any]:
        """For ``url_for``; reading them back gives this query again. No search text."""
        given = {
            "status": self.wanted.status or "",
            "label": self.wanted.label,
            "review": self.wanted.review or "",
            "delivery": self.wanted.delivery or "",
            "from": _dashed(self.wanted.date_from),
            "to": _dashed(self.wanted.date_to),
            **(_order_arguments(self.order) if self.order != self.default else {}),
            "page": str(self.number) if self.number > 1 else "",
        }
        return {name: str(value) for name, value in given.items() if value}

    def sorted_by(self, name: str) -> dict[str, Any]:
        """Arguments of the link in a column's head: a second click turns the order round."""
        key = SortKey(name)
        again = self.order.key is key
        down = not self.order.descending if again else key in _DESCENDING_FIRST
        return replace(self, order=Order(key, down), number=1).arguments

    def at_page(self, number: int) -> dict[str, Any]:
        return replace(self, number=number).arguments

    @property
    def narrowed(self) -> bool:
        return self.wanted != Filter()


def parse(arguments: Mapping[str, str], text: str, *, suspicion_first: bool) -> Query:
    """Raises BadRequest for a value that no page of ours sends."""
    default = Order(SortKey.SUSPICION) if suspicion_first else Order()
    label = arguments.get("label", "")
    if label and label not in CHOICES:
        raise BadRequest
    wanted = Filter(
        text=text,
        status=_choice(StudyStatus, arguments.get("status", "")),
        label=label,
        review=_choice(ReviewState, arguments.get("review", "")),
        delivery=_choice(DeliveryState, arguments.get("delivery", "")),
        date_from=_date(arguments.get("from", "")),
        date_to=_date(arguments.get("to", "")),
    )
    order = _order(arguments, default)
    if order.key is SortKey.SUSPICION and not suspicion_first:
        raise BadRequest
    return Query(wanted, order, default, _number(arguments.get("page", "1")))


def _order(arguments: Mapping[str, str], default: Order) -> Order:
    key = _choice(SortKey, arguments.get("sort", ""))
    return Order(key, arguments.get("order") == "down") if key else default


def _order_arguments(order: Order) -> dict[str, str]:
    return {"sort": order.key.value, "order": "down" if order.descending else "up"}


def _choice(choices: type[Choice], text: str) -> Choice | None:
    if not text:
        return None
    try:
        return choices(text)
    except ValueError:
        raise BadRequest from None


def _date(text: str) -> str:
    if text and not _DATE.fullmatch(text):
        raise BadRequest
    return text.replace("-", "")


def _dashed(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise BadRequest
    return max(1, int(text))
