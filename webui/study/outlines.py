"""Outlines that a reader changes: read out of the form, and measured for the page."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final
from uuid import UUID

from db.outlines import MAX_POINTS, MIN_POINTS, ReaderOutline, number_lesions
from db.reviews import ReviewInvalid
from db.schema import Finding, FindingKind, OutlineOrigin
from dicom.terms.lesions import LesionMeasurements, Point
from models.outline import OutlineInvalid, enclosed_lesion

MAX_OUTLINES: Final = 60
_DIGITS: Final = 2
"""After the point: a hundredth of a pixel is far below what a hand draws."""
_NEW_UID: Final = re.compile(r"2\.25\.[1-9][0-9]{0,38}")
"""A UUID as UID (PS3.5 B.2), which the page makes for a lesion that the network does not know."""


@dataclass(frozen=True)
class Drawing:
    """One lesion on one frame as it stands now, the network's outline or the reader's.

    ``mark`` says what the reader did: "", "edited", "drawn" or "removed". Sizes as in
    `db.schema.Finding`; ``displayed_class`` and ``probability`` are the network's of the image.
    """

    instance_id: UUID
    tracking_uid: str
    number: int
    frame_number: int
    displayed_class: str
    probability: float
    mark: str
    measurements: LesionMeasurements | None
    """None if the reader removed the lesion."""

    @property
    def area_px(self) -> int:
        return self.measurements.area_px if self.measurements else 0


def read(
    text: str, findings: Sequence[Finding], numbered: Mapping[str, int]
) -> tuple[ReaderOutline, ...]:
    """Outlines from the form's JSON: ``[{"image", "frame", "lesion", "points"}, …]``.

    ``numbered``: numbers that lesions of the study have already, by tracking UID.

    Raises:
        ReviewInvalid: one is not of an analyzed frame, not inside its image, or encloses no area.
    """
    entries = _entries(text)
    numbers = number_lesions([entry["lesion"] for entry in entries], numbered)
    found = tuple(_outline(entry, findings, numbers) for entry in entries)
    if len({(each.tracking_uid, each.frame_number) for each in found}) < len(found):
        raise _refused("a lesion is outlined twice on one frame")
    return found


def as_form(outlines: Iterable[ReaderOutline]) -> list[dict[str, Any]]:
    """What `read` takes, before it is JSON."""
    return [
        {
            "image": str(each.instance_id),
            "frame": each.frame_number,
            "lesion": each.tracking_uid,
            "points": each.contour,
        }
        for each in outlines
    ]


def standing(findings: Sequence[Finding], outlines: Sequence[ReaderOutline]) -> list[Drawing]:
    """All lesions on all frames, the reader's outlines in the place of the network's."""
    changed = {(each.tracking_uid, each.frame_number) for each in outlines}
    images = {each.instance_id: each for each in findings if each.kind is FindingKind.IMAGE}
    untouched = (
        _of_network(each)
        for each in findings
        if each.kind is FindingKind.LESION and (each.tracking_uid, each.frame_number) not in changed
    )
    return [*untouched, *(_of_reader(each, images[each.instance_id]) for each in outlines)]


# ------------------------------------------------------------------------------ the form


def _refused(problem: str) -> ReviewInvalid:
    return ReviewInvalid("outlines", problem)


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or "[]")
    except (ValueError, RecursionError):
        raise _refused("the outlines could not be read: open the page again") from None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise _refused("the outlines could not be read: open the page again")
    if len(entries) > MAX_OUTLINES:
        raise _refused(f"at most {MAX_OUTLINES} outlines can be changed in one review")
    return entries


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("lesion"), str)
        and isinstance(entry.get("frame"), int)
        and isinstance(entry.get("points"), list)
    )


def _outline(
    entry: dict[str, Any], findings: Sequence[Finding], numbers: dict[str, int]
) -> ReaderOutline:
    image = _image(entry, findings)
    uid, frame = entry["lesion"], entry["frame"]
    known = _known(uid, frame, image, findings)
    points = _points(entry["points"], image)
    if not points and not known:
        raise _refused("only a lesion of the AI can be removed")
    origin = OutlineOrigin.CORRECTED if known else OutlineOrigin.DRAWN
    return ReaderOutline(image.instance_id, frame, uid, numbers[uid], origin, points)


def _image(entry: dict[str, Any], findings: Sequence[Finding]) -> Finding:
    for found in findings:
        if found.kind is FindingKind.IMAGE and str(found.instance_id) == entry.get("image"):
            if not 1 <= entry["frame"] <= max(1, found.instance.number_of_frames):
                raise _refused("an outline is on a frame that its image does not have")
            return found
    raise _refused("an outline is on an image that was not analyzed")


def _known(uid: str, frame: int, image: Finding, findings: Sequence[Finding]) -> bool:
    """Whether the network has the lesion on that frame."""
    same = [found for found in findings if found.tracking_uid == uid]
    if any(each.instance_id != image.instance_id or each is image for each in same):
        raise _refused("an outline names the lesion of another image")
    if not same and not _NEW_UID.fullmatch(uid):
        raise _refused("an outline names a unknown lesion")
    return any(each.frame_number == frame for each in same)


def _points(values: list[Any], image: Finding) -> tuple[Point, ...]:
    """None for a lesion that is removed."""
    if not values:
        return ()
    if not MIN_POINTS <= len(values) <= MAX_POINTS:
        raise _refused(f"an outline has {MIN_POINTS} to {MAX_POINTS} points")
    width, height = image.instance.columns, image.instance.rows
    points = tuple(_point(value) for value in values)
    if not all(0 <= x <= width and 0 <= y <= height for x, y in points):
        raise _refused("an outline leaves its image")
    try:
        enclosed_lesion(points, (height, width))
    except OutlineInvalid as error:
        raise _refused(str(error)) from error
    return points


def _point(value: object) -> Point:
    match value:
        case [int() | float() as x, int() | float() as y] if isfinite(x) and isfinite(y):
            return round(float(x), _DIGITS), round(float(y), _DIGITS)
    raise _refused("a point of an outline is two numbers")


# ------------------------------------------------------------------------------ the page


def _of_network(found: Finding) -> Drawing:
    return Drawing(
        found.instance_id,
        found.tracking_uid,
        found.number,
        found.frame_number,
        found.displayed_class,
        max(found.probabilities),
        "",
        found.measurements,
    )


def _of_reader(outline: ReaderOutline, image: Finding) -> Drawing:
    measurements = None
    if outline.contour:
        shape = image.instance.rows, image.instance.columns
        measurements = enclosed_lesion(outline.contour, shape, image.spacing_mm).measurements
    edited = "drawn" if outline.origin is OutlineOrigin.DRAWN else "edited"
    return Drawing(
        outline.instance_id,
        outline.tracking_uid,
        outline.number,
        outline.frame_number,
        image.displayed_class,
        max(image.probabilities),
        edited if outline.contour else "removed",
        measurements,
    )
