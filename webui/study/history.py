"""The audit chain's tags as sentences."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from db.study_history import HistoryEntry

_SAYS = {
    "listener:instance:stored": "image received",
    "listener:instance:duplicate": "image received again, unchanged",
    "listener:instance:conflict": "another image under a known identity set aside",
    "worker:study:analysed": "analyzed",
    "worker:study:refused": "nothing in it could be analyzed",
    "worker:study:failed": "analysis given up",
    "worker:study:no-route": "no route takes it: results stay here",
    "worker:shadow:compared": "shadow preset compared",
    "worker:shadow:failed": "shadow preset given up",
    "worker:analysis:published": "AI results built",
    "worker:review:published": "verified report built",
    "worker:review:failed": "verified report given up",
    "worker:delivery:delivered": "results delivered",
    "worker:delivery:retrying": "delivery failed, will be tried again",
    "worker:delivery:failed": "delivery given up",
    "web:study:viewed": "opened",
    "web:review:draft-saved": "draft saved",
    "web:review:amendment-begun": "amendment begun",
    "web:review:signed": "review signed",
    "web:job:retried": "work started again",
}


@dataclass(frozen=True)
class Line:
    at: datetime
    text: str
    who: str
    times: int
    is_look: bool
    """Somebody opened the study: told apart, for there are many."""


def lines(story: Iterable[HistoryEntry]) -> list[Line]:
    """Newest first."""
    return [_line(moment) for moment in reversed(list(story))]


def sentence(tag: str) -> str:
    """Words for a tag; an unknown one is read as it is built, ``source:subject:action``."""
    if tag in _SAYS:
        return _SAYS[tag]
    _, _, rest = tag.partition(":")
    return (rest or tag).replace(":", " ").replace("-", " ")


def _with_destination(text: str, moment: HistoryEntry) -> str:
    destination = moment.details.get("destination")
    return f"{text}: {destination}" if destination else text


def _line(moment: HistoryEntry) -> Line:
    return Line(
        moment.last_at,
        _with_destination(sentence(moment.tag), moment),
        moment.actor.removeprefix("user:"),
        moment.count,
        moment.tag == "web:study:viewed",
    )
