"""The same lesion on neighboring frames of a cine gets the same number."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.measure import LesionOutline

_LEAST_OVERLAP: Final = 0.3
"""Share of the smaller outline: in a sweep a lesion grows and shrinks but hardly jumps."""
_FRAMES_AWAY: Final = 2
"""A lesion may be missed on one sampled frame and still be the same on the next."""


class _Track:
    """A lesion as it was last seen."""

    def __init__(self, number: int, seen: LesionOutline, at: int) -> None:
        self.number, self.seen, self.at = number, seen, at


def link(frames: Sequence[Sequence[LesionOutline]]) -> list[list[int]]:
    """Number the lesions of frames given in order, from 1 in order of their first appearance.

    Greedy: the pair of lesions with the greatest overlap is joined first.
    """
    tracks: list[_Track] = []
    numbers = []
    for at, lesions in enumerate(frames):
        recent = [track for track in tracks if at - track.at <= _FRAMES_AWAY]
        joined = _join(recent, lesions)
        for index, lesion in enumerate(lesions):
            if index not in joined:
                joined[index] = _Track(len(tracks) + 1, lesion, at)
                tracks.append(joined[index])
            joined[index].seen, joined[index].at = lesion, at
        numbers.append([joined[index].number for index in range(len(lesions))])
    return numbers


def _join(tracks: Sequence[_Track], lesions: Sequence[LesionOutline]) -> dict[int, _Track]:
    pairs = [
        (overlap(track.seen, lesion), -track.number, -index, track)
        for track in tracks
        for index, lesion in enumerate(lesions)
    ]
    joined: dict[int, _Track] = {}
    for share, _, negative_index, track in sorted(pairs, key=lambda pair: pair[:3], reverse=True):
        if share < _LEAST_OVERLAP:
            break
        if -negative_index not in joined and track not in joined.values():
            joined[-negative_index] = track
    return joined


def overlap(one: LesionOutline, other: LesionOutline) -> float:
    """Shared pixels as a share of the smaller lesion's."""
    x0, y0 = max(one.bbox[0], other.bbox[0]), max(one.bbox[1], other.bbox[1])
    x1, y1 = min(one.bbox[2], other.bbox[2]), min(one.bbox[3], other.bbox[3])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    shared = np.count_nonzero(one.mask[y0:y1, x0:x1] & other.mask[y0:y1, x0:x1])
    return shared / min(one.measurements.area_px, other.measurements.area_px)
