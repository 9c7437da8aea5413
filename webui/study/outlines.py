"""Outlines that a reader changes: parsed from the form, and measured for the page."""

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
_DECIMALS: Final = 2
"""A hundredth of a pixel is finer than any hand draws."""
_NEW_UID: Final = re.compile(r"2\.25\.[1-9][0-9]{0,38}")
"""A UUID-derived UID (PS3.5 B.2), which the page creates for a lesion that the reader draws."""


@dataclass(frozen=True)
class DisplayedLesion:
    """One lesion on one frame as the page shows it.

    ``change`` is what the reader did: "", "edited", "drawn" or "removed". ``displayed_class`` and
    ``probability`` are those of the AI.
    """

    instance_id: UUID
    tracking_uid: str
    number: int
    frame_number: int
    displayed_class: str
    probability: float
    change: str
    measurements: LesionMeasurements | None
    """None if the reader removed the lesion."""

    @property
    def area_px(self) -> int:
        return self.measurements.area_px if self.measurements else 0


def parse_outlines(
    text: str, findings: Sequence[Finding], known_numbers: Mapping[str, int]
) -> tuple[ReaderOutline, ...]:
    """Return the outlines in the form's JSON: ``[{"image", "frame", "lesion", "points"}, …]``.

    ``known_numbers`` are those of the study's lesions, by tracking UID.

    Raises:
        ReviewInvalid: an outline is not on an analyzed image, leaves it, or encloses no area.
    """
    entries = _parse_entries(text)
    numbers = number_lesions([entry["lesion"] for entry in entries], known_numbers)
    outlines = tuple(_to_outline(entry, findings, numbers) for entry in entries)
    if len({(outline.tracking_uid, outline.frame_number) for outline in outlines}) < len(outlines):
        raise _invalid("a lesion is outlined twice on one frame")
    return outlines


def to_form(outlines: Iterable[ReaderOutline]) -> list[dict[str, Any]]:
    """Return the entries that `parse_outlines` takes as JSON."""
    return [
        {
            "image": str(outline.instance_id),
            "frame": outline.frame_number,
            "lesion": outline.tracking_uid,
            "points": outline.contour,
        }
        for outline in outlines
    ]


def displayed_lesions(
    findings: Sequence[Finding], outlines: Sequence[ReaderOutline]
) -> list[DisplayedLesion]:
    """Return all lesions on all frames, with the reader's outlines instead of the networks'."""
    changed = {(outline.tracking_uid, outline.frame_number) for outline in outlines}
    images = {row.instance_id: row for row in findings if row.kind is FindingKind.IMAGE}
    unchanged = [
        DisplayedLesion(
            lesion.instance_id,
            lesion.tracking_uid,
            lesion.number,
            lesion.frame_number,
            lesion.displayed_class,
            lesion.confidence,
            "",
            lesion.measurements,
        )
        for lesion in findings
        if lesion.kind is FindingKind.LESION
        and (lesion.tracking_uid, lesion.frame_number) not in changed
    ]
    return [*unchanged, *(_measure(outline, images[outline.instance_id]) for outline in outlines)]


def _measure(outline: ReaderOutline, image: Finding) -> DisplayedLesion:
    change, measurements = "removed", None
    if outline.contour:
        change = "drawn" if outline.origin is OutlineOrigin.DRAWN else "edited"
        shape = image.instance.rows, image.instance.columns
        measurements = enclosed_lesion(outline.contour, shape, image.spacing_mm).measurements
    return DisplayedLesion(
        outline.instance_id,
        outline.tracking_uid,
        outline.number,
        outline.frame_number,
        image.displayed_class,
        image.confidence,
        change,
        measurements,
    )


# ------------------------------------------------------------------------------ form


def _invalid(problem: str) -> ReviewInvalid:
    return ReviewInvalid("outlines", problem)


def _parse_entries(text: str) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text or "[]")
    except (ValueError, RecursionError):
        raise _invalid("the outlines could not be read: reload the page") from None
    well_formed = isinstance(entries, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("lesion"), str)
        and isinstance(entry.get("frame"), int)
        and isinstance(entry.get("points"), list)
        for entry in entries
    )
    if not well_formed:
        raise _invalid("the outlines could not be read: reload the page")
    if len(entries) > MAX_OUTLINES:
        raise _invalid(f"a review can change at most {MAX_OUTLINES} outlines")
    return list(entries)


def _to_outline(
    entry: dict[str, Any], findings: Sequence[Finding], numbers: dict[str, int]
) -> ReaderOutline:
    image = _find_image(entry, findings)
    uid, frame = entry["lesion"], entry["frame"]
    is_known = _is_known_lesion(uid, frame, image, findings)
    points = _parse_points(entry["points"], image)
    if not points and not is_known:
        raise _invalid("only a lesion of the AI can be removed")
    origin = OutlineOrigin.CORRECTED if is_known else OutlineOrigin.DRAWN
    return ReaderOutline(image.instance_id, frame, uid, numbers[uid], origin, points)


def _find_image(entry: dict[str, Any], findings: Sequence[Finding]) -> Finding:
    for finding in findings:
        if finding.kind is FindingKind.IMAGE and str(finding.instance_id) == entry.get("image"):
            if not 1 <= entry["frame"] <= max(1, finding.instance.number_of_frames):
                raise _invalid("an outline is on a frame that its image does not have")
            return finding
    raise _invalid("an outline is on an image that was not analyzed")


def _is_known_lesion(uid: str, frame: int, image: Finding, findings: Sequence[Finding]) -> bool:
    """Return whether the networks outlined the lesion on that frame."""
    same = [finding for finding in findings if finding.tracking_uid == uid]
    if any(finding.instance_id != image.instance_id or finding is image for finding in same):
        raise _invalid("an outline refers to a lesion of another image")
    if not same and not _NEW_UID.fullmatch(uid):
        raise _invalid("an outline refers to an unknown lesion")
    return any(finding.frame_number == frame for finding in same)


def _parse_points(values: list[Any], image: Finding) -> tuple[Point, ...]:
    """Return the points of an outline; none for a lesion that is removed."""
    if not values:
        return ()
    if not MIN_POINTS <= len(values) <= MAX_POINTS:
        raise _invalid(f"an outline must have {MIN_POINTS} to {MAX_POINTS} points")
    points: list[Point] = []
    for value in values:
        match value:
            case [int() | float() as x, int() | float() as y] if isfinite(x) and isfinite(y):
                points.append((round(float(x), _DECIMALS), round(float(y), _DECIMALS)))
            case _:
                raise _invalid("a point of an outline must be two numbers")
    width, height = image.instance.columns, image.instance.rows
    if not all(0 <= x <= width and 0 <= y <= height for x, y in points):
        raise _invalid("an outline leaves its image")
    try:
        enclosed_lesion(points, (height, width))
    except OutlineInvalid as error:
        raise _invalid(str(error)) from error
    return tuple(points)
