"""What earlier analyses of a study called its lesions, out of their rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from db.schema import Finding, ReviewOutline
from workers.pipeline.identity import KnownLesion, Name


@dataclass(frozen=True)
class Past:
    """Nothing of it is given to another lesion."""

    lesions: Mapping[UUID, Sequence[KnownLesion]]
    """By instance: each as the newest analysis that has it outlined it."""
    highest: int
    """The highest number of a lesion."""
    tracking_uids: frozenset[str]

    def of(self, instance_id: UUID) -> Sequence[KnownLesion]:
        return self.lesions.get(instance_id, ())


def past_of(findings: Sequence[Finding], drawn: Iterable[ReviewOutline]) -> Past:
    """Read the lesions of earlier analyses, newest first, and the outlines that readers made.

    Of two lesions with one number, as analyses that ran side by side may leave them, the one that
    was seen last keeps it.
    """
    lesions = _newest(findings)
    rows: list[Finding | ReviewOutline] = [*findings, *drawn]
    numbers = count(max((row.number for row in rows), default=0) + 1)
    given: set[int] = set()
    known = defaultdict(list)
    for uid, outlined in lesions.items():
        number = outlined[0].number
        name = Name(next(numbers) if number in given else number, uid)
        given.add(name.number)
        known[outlined[0].instance_id].append(KnownLesion(name, _contours(outlined)))
    return Past(dict(known), next(numbers) - 1, frozenset(row.tracking_uid for row in rows))


def _newest(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """By tracking UID, on the frames of the first analysis that comes with it."""
    lesions: dict[str, list[Finding]] = {}
    for found in findings:
        outlined = lesions.setdefault(found.tracking_uid, [])
        if not outlined or outlined[0].analysis_id == found.analysis_id:
            outlined.append(found)
    return lesions


def _contours(findings: Sequence[Finding]) -> dict[int, tuple[tuple[float, float], ...]]:
    return {
        found.frame_number: tuple((float(x), float(y)) for x, y in found.contour)
        for found in findings
        if found.contour
    }
