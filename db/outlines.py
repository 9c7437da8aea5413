"""Outlines as a reader left them: facts of a judgment, and the rows that keep them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import Analysis, Finding, FindingKind, OutlineOrigin, Review, ReviewOutline

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


def outlines_before(session: Session, study_id: UUID) -> Sequence[ReviewOutline]:
    """Every outline that readers made in the study, signed or not yet."""
    return session.scalars(
        select(ReviewOutline).join(Review).join(Analysis).where(Analysis.study_id == study_id)
    ).all()


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


def lesion_numbers(session: Session, study_id: UUID) -> dict[str, int]:
    """By tracking UID, every number that the study's analyses and readers have given so far."""
    of_networks = (
        select(Finding.tracking_uid, Finding.number)
        .join(Analysis)
        .where(Analysis.study_id == study_id, Finding.kind == FindingKind.LESION)
    )
    of_readers = (
        select(ReviewOutline.tracking_uid, ReviewOutline.number)
        .join(Review)
        .join(Analysis)
        .where(Analysis.study_id == study_id)
    )
    return {
        uid: number for rows in (of_readers, of_networks) for uid, number in session.execute(rows)
    }


def number_all(tracking_uids: Iterable[str], given: Mapping[str, int]) -> dict[str, int]:
    """Lesions keep the number that was ``given`` them; others follow the highest, in their order."""
    numbers = dict(given)
    for uid in tracking_uids:
        numbers.setdefault(uid, max(numbers.values(), default=0) + 1)
    return numbers
