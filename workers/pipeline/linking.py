"""Numbers for lesions that are followed through the frames of a cine."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.measure import LesionOutline

_MIN_OVERLAP: Final = 0.3
"""Share of the smaller outline: during a sweep a lesion changes its size more than its place."""
_MAX_FRAMES_AWAY: Final = 2
"""The networks may miss a lesion on one sampled frame and find it on the next."""


class _Track:
    """A lesion with its most recent outline and the index of that frame."""

    def __init__(self, number: int, outline: LesionOutline, frame: int) -> None:
        self.number, self.outline, self.frame = number, outline, frame


def link_lesions(frames: Sequence[Sequence[LesionOutline]]) -> list[list[int]]:
    """Return the number of each outline, counted from 1 in order of first appearance.

    Greedy: the outlines that overlap most are linked first.
    """
    tracks: list[_Track] = []
    numbers = []
    for index, outlines in enumerate(frames):
        recent = [track for track in tracks if index - track.frame <= _MAX_FRAMES_AWAY]
        matched = _match(recent, outlines)
        for place, outline in enumerate(outlines):
            if place not in matched:
                matched[place] = _Track(len(tracks) + 1, outline, index)
                tracks.append(matched[place])
            matched[place].outline, matched[place].frame = outline, index
        numbers.append([matched[place].number for place in range(len(outlines))])
    return numbers


def _match(tracks: Sequence[_Track], outlines: Sequence[LesionOutline]) -> dict[int, _Track]:
    """Return the tracks of outlines that continue one, by the place of the outline."""
    pairs = [
        (-overlap(track.outline, outline), track.number, place, track)
        for track in tracks
        for place, outline in enumerate(outlines)
    ]
    matched: dict[int, _Track] = {}
    for negative_share, _, place, track in sorted(pairs, key=lambda pair: pair[:3]):
        if -negative_share < _MIN_OVERLAP:
            break
        if place not in matched and track not in matched.values():
            matched[place] = track
    return matched


def overlap(one: LesionOutline, other: LesionOutline) -> float:
    """Return the shared pixels as a fraction of the smaller outline."""
    x0, y0 = max(one.bbox[0], other.bbox[0]), max(one.bbox[1], other.bbox[1])
    x1, y1 = min(one.bbox[2], other.bbox[2]), min(one.bbox[3], other.bbox[3])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    shared = np.count_nonzero(one.mask[y0:y1, x0:x1] & other.mask[y0:y1, x0:x1])
    return shared / min(one.measurements.area_px, other.measurements.area_px)
