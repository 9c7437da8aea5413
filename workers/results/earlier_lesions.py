"""Identities of the lesions of earlier analyses of a study, from their rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from db.schema import Finding, ReviewOutline
from workers.pipeline.identity import KnownLesion, LesionIdentity


@dataclass(frozen=True)
class EarlierLesions:
    """The lesions of a study, and the numbers and tracking UIDs that no other lesion may get."""

    lesions: Mapping[UUID, Sequence[KnownLesion]]
    """By instance, each as outlined by the newest analysis that has it."""
    highest_number: int
    tracking_uids: frozenset[str]

    def on_instance(self, instance_id: UUID) -> Sequence[KnownLesion]:
        return self.lesions.get(instance_id, ())


def collect_earlier_lesions(
    findings: Sequence[Finding], drawn: Iterable[ReviewOutline]
) -> EarlierLesions:
    """Return the lesions of earlier analyses, given newest first, and of readers.

    If two lesions have the same number, which may happen when analyses run in parallel, the one
    of the newer analysis keeps it.
    """
    rows: list[Finding | ReviewOutline] = [*findings, *drawn]
    numbers = count(max((row.number for row in rows), default=0) + 1)
    given: set[int] = set()
    known = defaultdict(list)
    for uid, lesion in _newest_outlines(findings).items():
        number = lesion[0].number
        identity = LesionIdentity(next(numbers) if number in given else number, uid)
        given.add(identity.number)
        contours = {
            finding.frame_number: tuple((float(x), float(y)) for x, y in finding.contour)
            for finding in lesion
            if finding.contour
        }
        known[lesion[0].instance_id].append(KnownLesion(identity, contours))
    uids = frozenset(row.tracking_uid for row in rows)
    return EarlierLesions(dict(known), next(numbers) - 1, uids)


def _newest_outlines(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the findings of each lesion, by tracking UID, from its newest analysis only."""
    lesions: dict[str, list[Finding]] = {}
    for finding in findings:
        outlines = lesions.setdefault(finding.tracking_uid, [])
        if not outlines or outlines[0].analysis_id == finding.analysis_id:
            outlines.append(finding)
    return lesions
