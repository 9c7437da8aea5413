"""Outlines that readers changed, and their rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import Analysis, Finding, FindingKind, OutlineOrigin, Review, ReviewOutline
from dicom.terms.lesions import Point

MIN_POINTS: Final = 3
MAX_POINTS: Final = 400


@dataclass(frozen=True)
class ReaderOutline:
    """The outline of one lesion on one frame after review."""

    instance_id: UUID
    frame_number: int
    tracking_uid: str
    number: int
    """Counts over the study; lesions that readers draw follow those of the networks."""
    origin: OutlineOrigin
    contour: tuple[Point, ...]
    """Closed, the first point not repeated. Empty if the reader removed the lesion."""


def load_outlines(review: Review) -> tuple[ReaderOutline, ...]:
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


def list_study_outlines(session: Session, study_id: UUID) -> Sequence[ReviewOutline]:
    """Return all outlines that readers changed in the study, in drafts and signed reviews."""
    return session.scalars(
        select(ReviewOutline).join(Review).join(Analysis).where(Analysis.study_id == study_id)
    ).all()


def replace_outlines(session: Session, draft: Review, outlines: Iterable[ReaderOutline]) -> None:
    """Replace the outlines of ``draft``."""
    draft.outlines.clear()
    session.flush()  # one flush would insert before it deletes, and violate the unique constraint
    draft.outlines.extend(
        ReviewOutline(
            instance_id=outline.instance_id,
            frame_number=outline.frame_number,
            tracking_uid=outline.tracking_uid,
            number=outline.number,
            origin=outline.origin,
            contour=[list(point) for point in outline.contour],
        )
        for outline in outlines
    )
    session.flush()


def load_lesion_numbers(session: Session, study_id: UUID) -> dict[str, int]:
    """Return the numbers of all lesions of the study, of networks and readers, by tracking UID."""
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


def number_lesions(tracking_uids: Iterable[str], known: Mapping[str, int]) -> dict[str, int]:
    """Return the ``known`` numbers, and for other lesions the next ones in their order."""
    numbers = dict(known)
    for uid in tracking_uids:
        numbers.setdefault(uid, max(numbers.values(), default=0) + 1)
    return numbers
