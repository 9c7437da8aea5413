"""Outlines as a reader left them: facts of a judgement, and the rows that keep them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from db.schema import Finding, FindingKind, OutlineOrigin, Review, ReviewOutline

MIN_POINTS: Final = 3
MAX_POINTS: Final = 400

Point = tuple[float, float]


@dataclass(frozen=True)
class ReaderOutline:
    """One lesion on one frame. Points are (x, y) in pixels, (0, 0) the image's top left corner."""

    instance_id: UUID
    frame_number: int
    tracking_uid: str
    number: int
    """Over the whole study: a drawn lesion's follows those of the network."""
    origin: OutlineOrigin
    contour: tuple[Point, ...]
    """Closed, the first point not repeated; empty when the reader removed the lesion."""


def outlines_of(review: Review) -> tuple[ReaderOutline, ...]:
    return tuple(
        ReaderOutline(
            row.instance_id,
            row.frame_number,
            row.tracking_uid,
            row.number,
            row.origin,
            tuple((float(x), float(y)) for x, y in row.contour),
        )
        for row in sorted(review.outlines, key=lambda row: (row.number, row.frame_number))
    )


def write(session: Session, draft: Review, outlines: Iterable[ReaderOutline]) -> None:
    """Put ``outlines`` in the place of those that ``draft`` has."""
    draft.outlines.clear()
    session.flush()  # a unit of work would insert first, and meet the rows that are to go
    draft.outlines.extend(
        ReviewOutline(
            instance_id=each.instance_id,
            frame_number=each.frame_number,
            tracking_uid=each.tracking_uid,
            number=each.number,
            origin=each.origin,
            contour=[list(point) for point in each.contour],
        )
        for each in outlines
    )
    session.flush()


def lesion_numbers(findings: Iterable[Finding], tracking_uids: Sequence[str]) -> dict[str, int]:
    """Numbers by tracking UID: the network's lesions keep theirs, others follow in their order."""
    numbers = {
        found.tracking_uid: found.number for found in findings if found.kind is FindingKind.LESION
    }
    for uid in tracking_uids:
        numbers.setdefault(uid, max(numbers.values(), default=0) + 1)
    return numbers
