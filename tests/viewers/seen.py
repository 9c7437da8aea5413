"""What a viewer made of an object, and the measurements that tell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Picture = NDArray[np.uint8]
"""(rows, columns, 3)"""
_CHANGED = 12
"""Least difference of a color that counts, of 255: a codec of screenshots has none, antialiasing
has little."""
_LEAST_OVERLAP = 0.97
_LEAST_CORRELATION = 0.95
_OUTLINE_TOLERANCE_PX = 2.0
_LEAST_OUTLINE = 0.95


class Verdict(StrEnum):
    """A cell of the table."""

    SHOWN = "shown"
    """On the image, at the right pixels; or, for an object that is a picture, as it is."""
    ALONE = "shown without the image"
    """The right pixels, as a picture of their own."""
    TEXT = "shown as text"
    """The content of a report, without its outlines."""
    READ = "read"
    """By a program without a display: all values equal."""
    WRONG = "wrong"
    NOT_SHOWN = "not shown"
    NOT_READ = "not read"
    CRASH = "page crashes"
    """Nothing works any more until the page is loaded again."""


@dataclass(frozen=True)
class Seen:
    """What one viewer made of one object."""

    verdict: Verdict
    detail: str = ""
    """What the user sees besides: an error text, or the figure behind the verdict."""
    picture: Picture | None = None


def first_sentence(text: str) -> str:
    """Return what fits into a table of the error text that the user sees, without directories."""
    line = re.sub(r"(/[\w.-]+)+/", "", " ".join(text.split())).replace("|", "/")
    end = line.find(". ")
    line = line if end < 0 else line[:end]
    return line.rstrip(".: ") if len(line) <= 100 else line[:97].rstrip() + "..."


# ------------------------------------------------------------------------------ measurements


def changed(before: Picture, after: Picture) -> NDArray[np.bool_]:
    """Return where two screenshots of the same size differ, (rows, columns)."""
    difference = np.abs(before.astype(np.int16) - after.astype(np.int16)).max(axis=-1)
    return np.asarray(difference > _CHANGED)


def fit(screen: Sequence[int], image: Sequence[int]) -> tuple[float, float, float]:
    """Return the scale, left and top of an image (rows, columns) that is fitted into the middle of
    a screen (rows, columns).
    """
    scale = min(screen[0] / image[0], screen[1] / image[1])
    return scale, (screen[1] - image[1] * scale) / 2, (screen[0] - image[0] * scale) / 2


def judge_mask(
    drawn: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    *,
    least_overlap: float = _LEAST_OVERLAP,
) -> Seen:
    """Judge an overlay, in pixels of the screen, against the mask of an image that is fitted into
    the middle of the screen.
    """
    if not drawn.any():
        return Seen(Verdict.NOT_SHOWN, "the image is unchanged")
    expected = _on_screen(mask, drawn.shape)
    overlap = float((drawn & expected).sum() / (drawn | expected).sum())
    detail = f"intersection over union {overlap:.3f}"
    return Seen(Verdict.SHOWN if overlap >= least_overlap else Verdict.WRONG, detail)


def judge_outlines(
    drawn: NDArray[np.bool_],
    contours: Sequence[Sequence[tuple[float, float]]],
    image: tuple[int, int],
) -> Seen:
    """Judge drawn lines, in pixels of the screen, against contours (column, row) in an image of
    (rows, columns). Labels and handles may be drawn beside them.
    """
    if not drawn.any():
        return Seen(Verdict.NOT_SHOWN, "the image is unchanged")
    scale, left, top = fit(drawn.shape, image)
    distances = ndimage.distance_transform_edt(~drawn) / scale
    points = np.concatenate([_along(np.asarray(contour)) for contour in contours])
    columns = np.clip(points[:, 0] * scale + left, 0, drawn.shape[1] - 1).astype(int)
    rows = np.clip(points[:, 1] * scale + top, 0, drawn.shape[0] - 1).astype(int)
    near = float((distances[rows, columns] <= _OUTLINE_TOLERANCE_PX).mean())
    detail = f"{100 * near:.0f} % of the outline is drawn"
    return Seen(Verdict.SHOWN if near >= _LEAST_OUTLINE else Verdict.WRONG, detail)


def judge_picture(shown: Picture, expected: NDArray[np.generic], verdict: Verdict) -> Seen:
    """Judge a picture on the screen against the pixels of an object, which a viewer may window:
    `verdict` if they correlate. `expected` is fitted into the middle of the screen.
    """
    scale, left, top = fit(shown.shape, expected.shape)
    right, bottom = left + expected.shape[1] * scale, top + expected.shape[0] * scale
    box = (max(0, left), max(0, top), min(shown.shape[1], right), min(shown.shape[0], bottom))
    size = expected.shape[1], expected.shape[0]
    there = np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BOX, box=box))
    if there.max() == there.min():
        return Seen(Verdict.NOT_SHOWN, "a black picture" if there.max() == 0 else "a blank picture")
    wanted = np.asarray(expected, dtype=np.float64)
    if wanted.ndim == 2:
        wanted = np.repeat(wanted[..., np.newaxis], 3, axis=-1)
    correlation = float(np.corrcoef(there.ravel(), wanted.ravel())[0, 1])
    if correlation >= _LEAST_CORRELATION:
        return Seen(verdict, f"correlation {correlation:.3f}")
    return Seen(Verdict.WRONG, f"correlation {correlation:.3f}")


def share_of_white(picture: Picture) -> float:
    """Return how much of a picture is white: the paper of a page, which viewers never show."""
    return float((picture == 255).all(axis=-1).mean())


def judge_values(read: NDArray[np.generic], expected: NDArray[np.generic]) -> Seen:
    """Judge the values that a program without a display read. A mask may be 0 and 255."""
    if read.shape != expected.shape:
        return Seen(Verdict.WRONG, f"shape {read.shape} in place of {expected.shape}")
    if expected.max() == 1 and read.max() == 255:
        read = read == 255
    difference = np.abs(read.astype(np.float64) - expected.astype(np.float64))
    wrong = int((difference > 0).sum())
    if wrong:
        return Seen(
            Verdict.WRONG,
            f"{wrong} of {expected.size} values differ, by up to {difference.max():g}",
        )
    return Seen(Verdict.READ)


def _on_screen(mask: NDArray[np.bool_], screen: tuple[int, ...]) -> NDArray[np.bool_]:
    scale, left, top = fit(screen, mask.shape)
    rows = np.floor((np.arange(screen[0]) + 0.5 - top) / scale).astype(int)
    columns = np.floor((np.arange(screen[1]) + 0.5 - left) / scale).astype(int)
    inside = np.ix_(
        (rows >= 0) & (rows < mask.shape[0]), (columns >= 0) & (columns < mask.shape[1])
    )
    there = np.zeros(screen[:2], dtype=bool)
    there[inside] = mask[np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])]
    return there


def _along(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along a closed contour, at most a pixel apart."""
    closed = np.vstack([contour, contour[:1]])
    lengths = np.hypot(*np.diff(closed, axis=0).T)
    pieces = [
        start + np.linspace(0, 1, max(2, int(np.ceil(length)) + 1))[:-1, np.newaxis] * (end - start)
        for start, end, length in zip(closed[:-1], closed[1:], lengths, strict=True)
    ]
    return np.concatenate(pieces)
