"""Draws a frame with its heat map, the outlines of its lesions, and a band of text below it.

The text covers no part of the frame, and every pixel keeps its coordinates. The lines of text are
centered, because viewers write their own into the corners.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicom.equipment import DISCLAIMER
from dicom.images.frames import Frame
from dicom.results.model import ImageResult, LesionResult
from dicom.terms.classification import CLASSES, UNDECIDED, Probabilities
from dicom.terms.lesions import Point

NOTICE: Final = f"AI, UNVERIFIED: {DISCLAIMER[0].lower()}{DISCLAIMER[1:]}"
OUTLINE_COLORS: Final = ((0, 255, 255), (0, 255, 0), (255, 255, 255))
"""RGB of the first lesion, the second one and so on, which repeats: cyan, green, white. None of them
is a color of the heat map or of dark tissue."""
_STOPS: Final = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Black, purple, red, orange and yellow, by brightness for color-blind readers."""
_MOST_OPAQUE: Final = 0.5
_TISSUE: Final = 90
"""The gray over which the legend shows the colors."""
_MIN_WIDTH_PX: Final = 340
_TEXT_SHARE: Final = 1 / 45
_TEXT_PX: Final = (12, 28)
_MARGIN_SHARE: Final = 0.08
"""Of the width, on each side."""
_LINE_SHARE: Final = 1 / 400
"""Width of an outline, of the longer side of the frame."""
_MIN_LINE_PX: Final = 1.5
_EDGE_PX: Final = 1.0
"""Of black on each side of an outline, so that it is visible on bright tissue."""
_OVERSAMPLING: Final = 4
_WHITE: Final = (255, 255, 255)
_PALE: Final = (190, 190, 190)
_AMBER: Final = (255, 200, 60)
_BLACK: Final = (0, 0, 0)

Color = tuple[int, int, int]


@dataclass(frozen=True)
class _Line:
    """One line of the band: a sample of a color before the text, or the scale within it."""

    text: str
    color: Color = _WHITE
    scale: float = 1.0
    """Of the size of the text."""
    sample: Color | None = None
    text_after_bar: str | None = None
    """The scale of colors stands between `text` and this."""


@dataclass(frozen=True)
class Drawing:
    """How the frames of one image are drawn: all with a band of the same height."""

    image: ImageResult
    confidence_threshold: float = 0.0

    def draw(self, frame: Frame, number: int) -> Frame:
        """Return frame `number` in RGB with its heat map, its outlines and the band.

        The picture is as wide as the frame, or 340 pixels for a narrower one. Where the heat map is
        0 and no outline runs, the frame is unchanged.
        """
        heatmap = self.image.heatmaps[number]
        rows, columns = heatmap.shape
        picture = np.zeros((rows + self._band_height, self._width, 3), dtype=np.uint8)
        shown = _lay_over(frame, heatmap)
        for lesion in self._lesions(number):
            _draw_outline(shown, lesion.contour, self._color(lesion))
        picture[:rows, :columns] = np.rint(shown)
        picture[rows:] = self._draw_band(number)
        return picture

    def _lesions(self, number: int) -> list[LesionResult]:
        """Return the lesions of a frame in the order of drawing."""
        return [lesion for lesion in self.image.lesions if lesion.frame_number == number]

    def _color(self, lesion: LesionResult) -> Color:
        """Return the color of a lesion, the same on every frame."""
        known = list(dict.fromkeys(one.tracking_uid for one in self.image.lesions))
        return OUTLINE_COLORS[known.index(lesion.tracking_uid) % len(OUTLINE_COLORS)]

    # ------------------------------------------------------------------------------ the band

    @cached_property
    def _width(self) -> int:
        columns: int = next(iter(self.image.heatmaps.values())).shape[1]
        return max(columns, _MIN_WIDTH_PX)

    @cached_property
    def _text_size(self) -> int:
        return round(min(max(self._width * _TEXT_SHARE, _TEXT_PX[0]), _TEXT_PX[1]))

    @cached_property
    def _band_height(self) -> int:
        return max(self._height(list(self._lines(number))) for number in self.image.heatmaps)

    def _height(self, lines: Sequence[_Line]) -> int:
        return sum(self._line_height(line) for line in lines) + self._text_size

    def _line_height(self, line: _Line) -> int:
        return round(self._text_size * line.scale * 1.4)

    def _lines(self, number: int) -> Iterator[_Line]:
        """Yield the text of a frame, wrapped to the width of the band."""
        for line in self._content(number):
            size = self._text_size * line.scale
            reserved = size * 1.5 if line.sample else 0
            available = self._width * (1 - 2 * _MARGIN_SHARE) - reserved
            if line.text_after_bar is not None:
                yield line
                continue
            for n, text in enumerate(_wrap(line.text, _font(size), available)):
                yield _Line(text, line.color, line.scale, line.sample if n == 0 else None)

    def _content(self, number: int) -> Iterator[_Line]:
        image = self.image
        yield _Line(self._class_text(), scale=1.35)
        yield _Line(_probabilities_text(image.probabilities), _PALE)
        lesions = self._lesions(number)
        for lesion in lesions:
            yield _Line(_lesion_text(lesion), sample=self._color(lesion))
        if not lesions:
            cine = image.frame_number is not None
            yield _Line("no lesion outlined" + (" on this frame" if cine else ""))
        shown = "Heat map" if image.frame_number is None else f"Heat map of frame {number}"
        explained = "most probable class" if image.undecided else f"class {image.label}"
        yield _Line(f"{shown} (Grad-CAM): what the {explained} depends on")
        yield _Line("least", text_after_bar="most")
        yield _Line(NOTICE, _AMBER)

    def _class_text(self) -> str:
        image = self.image
        if image.undecided:
            return f"AI: {UNDECIDED} (confidence below {self.confidence_threshold * 100:.0f} %)"
        return f"AI: {_class_share(image.label, image.probabilities)}"

    def _draw_band(self, number: int) -> Frame:
        band = Image.new("RGB", (self._width, self._band_height))
        y = self._text_size // 2
        for line in self._lines(number):
            self._draw_line(band, line, y)
            y += self._line_height(line)
        return np.asarray(band, dtype=np.uint8)

    def _draw_line(self, band: Image.Image, line: _Line, y: int) -> None:
        pen, size = ImageDraw.Draw(band), round(self._text_size * line.scale)
        font = _font(size)
        gap = size // 2
        width = round(pen.textlength(line.text, font))
        after = line.text_after_bar
        if after is not None:
            bar = Image.fromarray(np.repeat(_bar()[np.newaxis], size, axis=0))
            bar = bar.resize((8 * size, size))
            whole = width + gap + bar.width + gap + round(pen.textlength(after, font))
            x = (self._width - whole) // 2
            pen.text((x, y), line.text, line.color, font)
            band.paste(bar, (x + width + gap, y + 1))
            pen.text((x + width + gap + bar.width + gap, y), after, line.color, font)
            return
        sample = size + gap if line.sample else 0
        x = (self._width - width - sample) // 2
        if line.sample:
            middle, thickness = y + round(size * 0.6), max(2, size // 5)
            pen.line([(x, middle), (x + size, middle)], line.sample, thickness)
        pen.text((x + sample, y), line.text, line.color, font)


def cover_by_outline(
    shape: tuple[int, int], contour: Sequence[Point]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how much of each pixel of (rows, columns) `shape` an outline covers, from 0 to 1, and how
    much it covers together with its black edges.
    """
    lines, edges = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for box, line, edge in _outline_alpha(shape, contour):
        lines[box], edges[box] = line, edge
    return lines, edges


# ---------------------------------------------------------------------------------- the frame


def _lay_over(frame: Frame, heatmap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the frame, (rows, columns, 3), under colors whose opacity grows with the weight."""
    below = frame if frame.ndim == 3 else frame[..., np.newaxis]
    share_below, color = _blending()
    return below.astype(np.float32) * share_below[heatmap] + color[heatmap]


def _draw_outline(shown: NDArray[np.float32], contour: Sequence[Point], color: Color) -> None:
    rows, columns = shown.shape[:2]
    for box, line, edge in _outline_alpha((rows, columns), contour):
        for alpha, paint in ((edge, _BLACK), (line, color)):
            share = alpha[..., np.newaxis]
            shown[box] = shown[box] * (1 - share) + np.array(paint, np.float32) * share


_Box = tuple[slice, slice]


def _outline_alpha(
    shape: tuple[int, int], contour: Sequence[Point]
) -> Iterator[tuple[_Box, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield the part of the frame that an outline touches, and how much of each pixel the line and
    the line with its edges cover (0 to 1). Nothing for a contour outside the frame.
    """
    rows, columns = shape
    width = max(_MIN_LINE_PX, max(shape) * _LINE_SHARE)
    reach = int(width + _EDGE_PX) + 2
    xs, ys = np.array(contour, dtype=float).T
    x0, x1 = max(0, int(xs.min()) - reach), min(columns, int(xs.max()) + reach)
    y0, y1 = max(0, int(ys.min()) - reach), min(rows, int(ys.max()) + reach)
    if x0 >= x1 or y0 >= y1:
        return
    points = [((x - x0) * _OVERSAMPLING - 0.5, (y - y0) * _OVERSAMPLING - 0.5) for x, y in contour]
    line, edge = (
        _cover((x1 - x0, y1 - y0), points, thickness) for thickness in (width, width + 2 * _EDGE_PX)
    )
    yield (slice(y0, y1), slice(x0, x1)), line, edge


def _cover(
    size: tuple[int, int], points: list[tuple[float, float]], thickness: float
) -> NDArray[np.float32]:
    """Return how much of each pixel of a box (width, height) a closed line covers."""
    large = Image.new("L", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
    pen_width = round(thickness * _OVERSAMPLING)
    closed = [*points, *points[:2]]  # the second point again, so that the last joint is round too
    ImageDraw.Draw(large).line(closed, 255, pen_width, joint="curve")
    return np.asarray(large.reduce(_OVERSAMPLING), dtype=np.float32) / np.float32(255)


# ---------------------------------------------------------------------------------- colors


@cache
def _colors() -> NDArray[np.uint8]:
    """Return the color of each weight, (256, 3)."""
    weights = np.linspace(0, 255, len(_STOPS))
    channels = [np.interp(np.arange(256), weights, stop) for stop in zip(*_STOPS, strict=True)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


@cache
def _blending() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return for each weight the share of the frame, (256, 1), and the color to add, (256, 3)."""
    opacity = (_MOST_OPAQUE / 255 * np.arange(256))[:, np.newaxis]
    return (1 - opacity).astype(np.float32), (opacity * _colors()).astype(np.float32)


@cache
def _bar() -> NDArray[np.uint8]:
    """Return the colors as they look over gray tissue, (256, 3)."""
    tissue = np.full((1, 256), _TISSUE, dtype=np.uint8)
    weights = np.arange(256, dtype=np.uint8)[np.newaxis]
    bar: NDArray[np.uint8] = np.rint(_lay_over(tissue, weights)[0]).astype(np.uint8)
    return bar


# ---------------------------------------------------------------------------------- text


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def _font(size: float) -> _Font:
    return ImageFont.load_default(round(size))


def _wrap(text: str, font: _Font, available_px: float) -> list[str]:
    """Return the lines of a text that is broken at spaces, all about equally long."""
    count = len(_break(text, font, available_px))
    longest_px = font.getlength(text)
    narrower = (longest_px / count * (1 + slack / 20) for slack in range(20))
    balanced = (_break(text, font, width) for width in narrower if width < available_px)
    return next(
        (lines for lines in balanced if len(lines) == count), _break(text, font, available_px)
    )


def _break(text: str, font: _Font, available_px: float) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > available_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _class_share(label: str, probabilities: Probabilities) -> str:
    return f"{label} {_percent(probabilities[CLASSES.index(label)])}"


def _percent(share: float) -> str:
    """Return whole percent, and never 0 or 100: no network is certain."""
    if share < 0.005:
        return "< 1 %"
    return "> 99 %" if share > 0.995 else f"{100 * share:.0f} %"


def _probabilities_text(probabilities: Probabilities) -> str:
    return ", ".join(_class_share(label, probabilities) for label in CLASSES)


def _lesion_text(lesion: LesionResult) -> str:
    size, size_mm = lesion.measurements, lesion.measurements.size_mm
    if size_mm:
        axes = f"{size_mm.long_axis_mm:.1f} x {size_mm.short_axis_mm:.1f} mm"
    else:
        axes = f"{size.long_axis_px:.0f} x {size.short_axis_px:.0f} pixels"
    found = UNDECIDED if lesion.undecided else _class_share(lesion.label, lesion.probabilities)
    return f"{lesion.tracking_id}: {found}, {axes}"
