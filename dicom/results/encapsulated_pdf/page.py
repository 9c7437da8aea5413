"""Draws the page with ReportLab. The same input gives the same bytes.

DejaVu Sans (Latin, Greek, Cyrillic, Arabic, Hebrew and more) is embedded. Han, Kana and Hangul use
standard fonts that the PDF viewer must supply. Characters without a glyph are drawn as boxes, and
right-to-left text is not reordered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from dicom.images.frames import Frame
from dicom.results.encapsulated_pdf.text import Section
from dicom.terms.lesions import Point

_SANS: Final = "DejaVuSans"
_CJK: Final = (
    ("HeiseiKakuGo-W5", ((0x3040, 0x30FF),)),
    ("HYGothic-Medium", ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF))),
    ("STSong-Light", ((0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF))),
)
"""Fonts with their ranges of characters. The first match applies."""
_WIDTH, _HEIGHT = A4
_MARGIN: Final = 45
_LABEL_WIDTH: Final = 105
_SIZE, _LEADING = 8.5, 11.5
_PICTURE: Final = (_WIDTH - 2 * _MARGIN, 360)
"""Maximum width and height."""
_MIN_PICTURE_HEIGHT: Final = 40
_MAX_LINES: Final = 8
"""Of one value."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A frame with named outlines."""

    pixels: Frame
    outlines: tuple[tuple[str, Sequence[Point]], ...]
    """Name and (x, y) in pixels."""


def draw_page(title: str, sections: Iterable[Section], picture: Picture | None) -> bytes:
    """Return a PDF of one A4 page."""
    _register_fonts()
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle(title)
    y = _HEIGHT - _MARGIN
    _draw_text(canvas, _MARGIN, y, title, 14)
    y -= 20
    for heading, rows in sections:
        _draw_text(canvas, _MARGIN, y, heading, 10)
        canvas.setLineWidth(0.4)
        canvas.line(_MARGIN, y - 3, _WIDTH - _MARGIN, y - 3)
        y -= _LEADING + 4
        for label, value in rows:
            _draw_text(canvas, _MARGIN, y, label, _SIZE)
            left = _MARGIN + _LABEL_WIDTH if label else _MARGIN
            for line in _wrap(value, _WIDTH - _MARGIN - left):
                _draw_text(canvas, left, y, line, _SIZE)
                y -= _LEADING
        y -= 6
    if picture is not None and y - _MARGIN > _MIN_PICTURE_HEIGHT:
        _draw_picture(canvas, picture, y)
    canvas.showPage()
    canvas.save()
    return stream.getvalue()


@cache
def _register_fonts() -> None:
    registerFont(TTFont(_SANS, str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf")))
    for name, _ in _CJK:
        registerFont(UnicodeCIDFont(name))


def _font(character: str) -> str:
    for name, ranges in _CJK:
        if any(first <= ord(character) <= last for first, last in ranges):
            return name
    return _SANS


def _width(text: str) -> float:
    return float(sum(stringWidth(character, _font(character), _SIZE) for character in text))


def _wrap(text: str, width: float) -> list[str]:
    """Break `text` into lines. Text that does not fit is cut and ends in an ellipsis."""
    lines = [""]
    for character in " ".join(text.split()):
        if _width(lines[-1] + character) <= width:
            lines[-1] += character
        elif " " in lines[-1]:
            lines[-1], _, rest = lines[-1].rpartition(" ")
            lines.append(rest + character)
        else:
            lines.append(character)
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 1], f"{lines[_MAX_LINES - 1][:-1]}…"]
    return lines


def _draw_text(canvas: Canvas, x: float, y: float, text: str, size: float) -> None:
    printable = "".join(character for character in text if character.isprintable())
    line = canvas.beginText(x, y)
    for font, characters in groupby(printable, _font):
        line.setFont(font, size)
        line.textOut("".join(characters))
    canvas.drawText(line)


def _draw_picture(canvas: Canvas, picture: Picture, top: float) -> None:
    rows, columns = picture.pixels.shape[:2]
    scale = min(_PICTURE[0] / columns, min(_PICTURE[1], top - _MARGIN) / rows)
    bottom = top - rows * scale
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    canvas.drawImage(ImageReader(image), _MARGIN, bottom, columns * scale, rows * scale)
    canvas.setStrokeColorRGB(1, 0.2, 0.1)
    canvas.setLineWidth(1.2)
    for name, contour in picture.outlines:
        points = [(_MARGIN + x * scale, top - y * scale) for x, y in contour]
        if len(points) > 2:
            path = canvas.beginPath()
            path.moveTo(*points[0])
            for point in points[1:]:
                path.lineTo(*point)
            path.close()
            canvas.drawPath(path)
            x, y = max(points, key=lambda point: point[1])
            canvas.setFillColorRGB(0, 0, 0)  # a box behind the name, legible on any image
            canvas.rect(x - 2, y + 2, _width(name) + 4, _LEADING, stroke=0, fill=1)
            canvas.setFillColorRGB(1, 1, 1)
            _draw_text(canvas, x, y + 4, name, _SIZE)
