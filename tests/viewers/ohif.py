"""The OHIF viewer in a real browser, as a test sees it: what it lists, draws, says and complains about.

    def test_it_is_drawn(ohif: Ohif, pacs: Orthanc) -> None:
        pacs.store(image, segmentation)
        ohif.open_study(study_instance_uid)
        ohif.load("AI lesion outlines (UNVERIFIED)")
        ohif.hydrate()
        assert [one.label for one in ohif.segments()] == ["Lesion 1"]
        ohif.show_frame(3)
        assert intersection_over_union(ohif.drawn_mask(mask.shape), mask) >= 0.97
        assert not ohif.errors

The fixtures `ohif`, `pacs` and `ohif_address` are in conftest.py. Coordinates of images are those of
DICOM's SCOORD (PS3.3 C.10.5.1.2): x, y in pixels from the outer corner of the first pixel.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from sonogate.demo.ohif import study_url

Mask = NDArray[np.bool_]
LOAD_TIMEOUT_SECONDS: Final = 40.0
SETTLE_MS: Final = 100
"""What passes between two pictures, besides the frames that the browser draws meanwhile."""
SETTLE_TRIES: Final = 60
VISIBLE_DIFFERENCE: Final = 12
"""Of 255: what a color must change by to count as drawn."""
SAMPLES: Final = 4
"""How many positions within an image pixel, in each direction, are looked up on the canvas."""
THUMBNAILS: Final = '[data-cy^="study-browser-thumbnail"]'
DESCRIPTION: Final = '[data-cy="series-description-label"]'
VIEWPORT: Final = "window.cornerstone?.getRenderingEngines?.()[0]?.getViewports()[0]"
STOP_PLAYING: Final = f"cornerstoneTools.utilities.cine.stopClip({VIEWPORT}.element);"
"""OHIF plays ultrasound cines by itself, sometimes only a while after it has shown them."""
VISIBILITY: Final = "cornerstoneTools.segmentation.config.visibility"


@dataclass(frozen=True)
class Segment:
    """A line of the segmentation panel: its number, label and color (red, green, blue)."""

    number: int
    label: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Measurement:
    """A line of the measurement panel: its number and label, and the texts that OHIF shows with it,
    such as the area that it measured and the place ("S: 1 I: 1 F: 3").
    """

    number: int
    label: str
    texts: tuple[str, ...]
    tool: str
    frame: int


@dataclass(frozen=True, eq=False)
class Annotation:
    """A contour or mark on a frame: `points` is (n, 2), x and y in pixels of the image.

    Before hydration, `tool` is "DICOMSRDisplay", and a lesion on several frames has one of each.
    """

    tool: str
    label: str
    frame: int
    points: NDArray[np.float64]


class ViewerFailed(AssertionError):
    """Raised when the viewer does not show what the test asked for; says what it shows instead."""


def intersection_over_union(one: Mask, other: Mask) -> float:
    """Return how well two masks of the same shape agree, 1.0 for two empty ones."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0


def bounding_box(mask: Mask) -> tuple[int, int, int, int] | None:
    """Return the first and last column and row (x0, y0, x1, y1) of a mask, None for an empty one."""
    ys, xs = np.nonzero(mask)
    return (int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())) if len(xs) else None


@contextmanager
def open_ohif(
    browser: Browser, address: str, *, width: int = 1600, height: int = 900
) -> Iterator["Ohif"]:
    """Open a window of this many pixels with the viewer at `address`, until the block ends.

    A smaller window is drawn faster, because Chromium draws it without a graphics card.
    """
    context = browser.new_context(viewport={"width": width, "height": height})
    try:
        yield Ohif(context.new_page(), address)
    finally:
        context.close()


class Ohif:
    """A window with OHIF. `errors` collects script errors and what the page logs as an error."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self._tour_is_over = False
        page.set_default_timeout(LOAD_TIMEOUT_SECONDS * 1000)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type == "error" else None,
        )

    # ------------------------------------------------------------------------------ opening

    def open_study(self, study_instance_uid: str) -> None:
        """Open a study and wait until its first series shows its image."""
        self.page.goto(study_url(self.address, study_instance_uid), wait_until="domcontentloaded")
        self._until(self.page.locator(THUMBNAILS).first, "no series is listed")
        if not self._tour_is_over:  # a new window explains itself once
            self._until(self.page.get_by_text("Skip all").first, "no tour is offered").click()
            self._tour_is_over = True
        self.wait_for_image()

    def series(self) -> list[str]:
        """Return the descriptions of the listed series, in the order of the list."""
        return self.page.locator(THUMBNAILS).locator(DESCRIPTION).all_inner_texts()

    def load(self, description: str, *, image: bool = True) -> None:
        """Load the series of this exact description by a double click.

        Waits until the viewport shows an image, unless the series has none (`image=False`).
        """
        named = self.page.locator(DESCRIPTION).get_by_text(description, exact=True)
        self._until(named.first, f"no series is {description!r}")
        matching = [n for n, text in enumerate(self.series()) if text == description]
        if len(matching) != 1:
            raise ViewerFailed(f"{len(matching)} series are {description!r}: {self.series()}")
        self.page.locator(THUMBNAILS).nth(matching[0]).dblclick()
        self._wait_for(
            """description => {
                const {activeViewportId, viewports} = services.viewportGridService.getState();
                return viewports.get(activeViewportId).displaySetInstanceUIDs.some(uid =>
                    services.displaySetService.getDisplaySetByUID(uid).SeriesDescription
                        === description);
            }""",
            f"{description!r} was not loaded",
            description,
        )
        if image:
            self.wait_for_image()

    def hydrate(self) -> None:
        """Answer Yes to the question whether to open the loaded segmentation, or to track the
        loaded measurements, and wait until the panel lists them.
        """
        before: int = self.page.evaluate("services.measurementService.getMeasurements().length")
        self._until(self.page.locator('[data-cy="yes-hydrate-btn"]'), "it asks nothing").click()
        self._wait_for(
            f"""before => {{
                if (document.querySelector('[data-cy="yes-hydrate-btn"]')) return false;
                const viewport = {VIEWPORT}, state = cornerstoneTools.segmentation.state;
                return state.getSegmentationRepresentations(viewport.id).length
                    || services.measurementService.getMeasurements().length > before;
            }}""",
            "there are neither segments nor new measurements",
            before,
        )
        self.wait_for_image()

    def wait_for_image(self) -> None:
        """Return once the viewport shows an image and draws nothing more."""
        self._wait_for(
            f"""() => {{
                const viewport = {VIEWPORT};
                return viewport?.getCurrentImageId?.() && viewport.csImage;
            }}""",
            "the viewport shows no image",
        )
        close = self.page.locator('[data-cy="cine-player-close"]')
        if close.is_visible():  # it covers part of the image
            close.click()
        for _ in range(20):  # some 5 s
            if self._settled().any():
                return
        raise self._failure("the viewport is black")

    # ------------------------------------------------------------------------------ frames

    @property
    def frame_count(self) -> int:
        """How many frames or images the viewport scrolls through."""
        return int(self.page.evaluate(f"{VIEWPORT}.getImageIds().length"))

    def show_frame(self, number: int) -> None:
        """Show a frame of a cine, or an image of a series, counted from 1."""
        self.page.evaluate(
            f"""async number => {{
                {STOP_PLAYING}
                await {VIEWPORT}.setImageIdIndex(number - 1);
                {VIEWPORT}.render();
            }}""",
            number,
        )
        self._wait_for(
            f"n => {VIEWPORT}.getCurrentImageIdIndex() === n - 1", f"no frame {number}", number
        )
        self._settled()

    def shown_image(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the shown image and what is drawn on it as (rows, columns, 3), at its own size."""
        return _to_image_pixels(self._settled(), shape).astype(np.uint8)

    # ------------------------------------------------------------------------------ segmentations

    def segments(self) -> list[Segment]:
        """Return the segments of the segmentation panel, which lists them after `hydrate`."""
        self._open_panel("panelSegmentation-btn")
        found = self.page.locator('[data-cy="data-row"]').evaluate_all(
            """rows => rows.map(row => [
                row.innerText,
                row.querySelector('[data-cy="data-row-title"]').innerText,
                row.querySelector('[data-cy="data-row-colorhex"]')?.style.backgroundColor,
            ])"""
        )
        return [
            Segment(int(text.split("\n")[0]), label, _parse_color(color))
            for text, label, color in found
        ]

    def drawn_mask(self, shape: tuple[int, int], *, segment: int | None = None) -> Mask:
        """Return which pixels of the shown frame, of (rows, columns) `shape`, are drawn over.

        These are the pixels that change when the segmentations are hidden and when they are shown
        again. With `segment`, all other segments are hidden meanwhile, so that overlapping ones can
        be told apart.
        """
        if segment is not None:
            self._show_segments(only=segment)
        shown = self._settled()
        self._show_segmentations(shown=False)
        hidden = self._settled()
        self._show_segmentations(shown=True)
        if segment is not None:
            self._show_segments(only=segment)  # showing a segmentation shows all its segments
        again = self._settled()
        if segment is not None:
            self._show_segments()
        changed = _difference(shown, hidden) & _difference(again, hidden)
        return _to_image_pixels(255 * changed, shape) >= 128

    # ------------------------------------------------------------------------------ reports

    def measurements(self) -> list[Measurement]:
        """Return the measurements of the panel, which lists them after `hydrate`."""
        self._open_panel("trackedMeasurements-btn")
        labels = self.page.locator(
            '[data-cy="trackedMeasurements-panel"] [data-cy="data-row-title"]'
        ).all_inner_texts()
        found: list[dict[str, Any]] = self.page.evaluate(
            """() => services.measurementService.getMeasurements().map(one => ({
                label: one.label, tool: one.toolName, frame: one.frameNumber ?? 1,
                texts: [...(one.displayText?.primary ?? []), ...(one.displayText?.secondary ?? [])],
            }))"""
        )
        unnamed = [one["label"] for one in found]
        if labels != unnamed:
            raise self._failure(f"the panel lists {labels}, the viewer has {unnamed}")
        return [
            Measurement(n, one["label"], tuple(one["texts"]), one["tool"], one["frame"])
            for n, one in enumerate(found, start=1)
        ]

    def annotations(self) -> list[Annotation]:
        """Return every contour and mark on every frame."""
        found: list[dict[str, Any]] = self.page.evaluate(
            """() => cornerstoneTools.annotation.state.getAllAnnotations()
                .filter(one => one.metadata.referencedImageId)
                .map(one => {
                    const data = one.data, image = one.metadata.referencedImageId;
                    const drawn = Object.values(data.renderableData ?? {}).flat(2);
                    const points = drawn.length ? drawn
                        : data.contour?.polyline ?? data.handles.points;
                    return {
                        tool: one.metadata.toolName,
                        label: data.label || data.labels?.[0]?.label || "",
                        frame: Number(image.match(/frames\\/(\\d+)/)?.[1] ?? 1),
                        points: points.map(
                            point => cornerstone.utilities.worldToImageCoords(image, point)),
                    };
                })"""
        )
        return [
            Annotation(
                one["tool"], one["label"], one["frame"], np.array(one["points"]).reshape(-1, 2)
            )
            for one in found
        ]

    def drawn_contours(self) -> list[tuple[float, float, float, float]]:
        """Return the boxes (x0, y0, x1, y1) of the contours drawn on the shown frame, in pixels of
        the image. OHIF draws them as SVG above it, sometimes only once the pointer moves.
        """
        self.page.mouse.move(700, 400)
        self.page.mouse.move(760, 430, steps=5)
        self._settled()
        left, top, width, height = self._canvas_box()
        columns, rows = self._image_size()
        scale = min(width / columns, height / rows)
        x0 = left + (width - columns * scale) / 2
        y0 = top + (height - rows * scale) / 2
        boxes = self.page.evaluate(
            """() => [...document.querySelectorAll("svg.svg-layer path, svg.svg-layer polyline")]
                .map(one => one.getBoundingClientRect())
                .filter(box => box.width > 0 && box.height > 0)
                .map(box => [box.left, box.top, box.right, box.bottom])"""
        )
        return [
            ((a - x0) / scale, (b - y0) / scale, (c - x0) / scale, (d - y0) / scale)
            for a, b, c, d in boxes
        ]

    # ------------------------------------------------------------------------------ pictures

    def screenshot(self, path: Path) -> None:
        """Save a picture of the whole window, PNG or JPEG by the name of the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)

    # ------------------------------------------------------------------------------ helpers

    def _open_panel(self, button: str) -> None:
        tab = self.page.locator(f'[data-cy="{button}"]')
        name = button.removesuffix("-btn")
        panel = self.page.locator(f'[data-cy="{name}-panel"]').first
        if tab.count() and not panel.is_visible():
            tab.first.click()
        self._settled()

    def _show_segmentations(self, *, shown: bool) -> None:
        self.page.evaluate(
            f"""shown => {{
                const viewport = {VIEWPORT};
                for (const one of cornerstoneTools.segmentation.state
                        .getSegmentationRepresentations(viewport.id))
                    {VISIBILITY}.setSegmentationRepresentationVisibility(
                        viewport.id,
                        {{segmentationId: one.segmentationId, type: one.type}}, shown);
                viewport.render();
            }}""",
            shown,
        )

    def _show_segments(self, only: int | None = None) -> None:
        self.page.evaluate(
            f"""only => {{
                const viewport = {VIEWPORT};
                for (const one of cornerstoneTools.segmentation.state
                        .getSegmentationRepresentations(viewport.id))
                    for (const number of Object.keys(one.segments).map(Number))
                        {VISIBILITY}.setSegmentIndexVisibility(
                            viewport.id,
                            {{segmentationId: one.segmentationId, type: one.type}},
                            number, only === null || number === only);
                viewport.render();
            }}""",
            only,
        )

    def _settled(self) -> NDArray[np.uint8]:
        """Return the canvas as (height, width, 3) once two pictures of it and of the contours above
        it, some animation frames apart, are the same. Texts and buttons over it are not in it.
        """
        url: str = self.page.evaluate(
            f"""async ([pause, tries]) => {{
                let before = '', url = '';
                for (let number = 0; number < tries; number++) {{
                    {STOP_PLAYING}
                    for (let frame = 0; frame < 4; frame++)
                        await new Promise(requestAnimationFrame);
                    await new Promise(done => setTimeout(done, pause));
                    url = {VIEWPORT}.canvas.toDataURL('image/png');
                    const contours = [...document.querySelectorAll('svg.svg-layer')];
                    const now = [url, ...contours.map(one => one.innerHTML)].join();
                    if (now === before) break;
                    before = now;
                }}
                return url;
            }}""",
            [SETTLE_MS, SETTLE_TRIES],
        )
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(picture.convert("RGB"))

    def _canvas_box(self) -> tuple[float, float, float, float]:
        left, top, width, height = self.page.evaluate(
            f"""() => {{
                const box = {VIEWPORT}.canvas.getBoundingClientRect();
                return [box.left, box.top, box.width, box.height];
            }}"""
        )
        return left, top, width, height

    def _image_size(self) -> tuple[int, int]:
        columns, rows = self.page.evaluate(f"[{VIEWPORT}.csImage.columns, {VIEWPORT}.csImage.rows]")
        return columns, rows

    def _until(self, locator: Locator, problem: str) -> Locator:
        try:
            locator.wait_for()
        except PlaywrightTimeout:
            raise self._failure(problem) from None
        return locator

    def _wait_for(self, condition: str, problem: str, argument: object = None) -> None:
        try:
            self.page.wait_for_function(condition, arg=argument)
        except PlaywrightTimeout:
            raise self._failure(problem) from None

    def _failure(self, problem: str) -> ViewerFailed:
        text = " | ".join(self.page.locator("body").inner_text().split("\n"))
        complaints = "\n  ".join(self.errors) or "none"
        return ViewerFailed(
            f"OHIF: {problem}\nerrors:\n  {complaints}\nthe page says: {text[-1500:]}"
        )


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Mask:
    difference: NDArray[np.int_] = np.abs(one.astype(int) - other.astype(int)).max(axis=2)
    return difference > VISIBLE_DIFFERENCE


def _parse_color(style: str) -> tuple[int, int, int]:
    """Return the color of `rgb(1, 2, 3)`."""
    red, green, blue = (int(part) for part in style.removeprefix("rgb(").rstrip(")").split(",")[:3])
    return red, green, blue


def _to_image_pixels(canvas: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return for each pixel of an image the mean of the canvas pixels that show it.

    The image is fitted into the middle of the canvas. Where it is drawn smaller than it is, a pixel
    takes the canvas pixel nearest to its middle.
    """
    height, width = canvas.shape[:2]
    rows, columns = shape
    scale = min(width / columns, height / rows)
    y = _sample_positions(height, rows, scale)
    x = _sample_positions(width, columns, scale)
    samples = canvas[y][:, x].astype(np.float64)
    per_pixel = samples.reshape(rows, SAMPLES, columns, SAMPLES, *canvas.shape[2:])
    mean: NDArray[np.float64] = per_pixel.mean(axis=(1, 3))
    return mean


def _sample_positions(canvas: int, image: int, scale: float) -> NDArray[np.int_]:
    """Return the canvas pixels at `SAMPLES` evenly spaced positions within each image pixel."""
    start = (canvas - image * scale) / 2
    within = (np.arange(image * SAMPLES) + 0.5) / SAMPLES
    return np.clip(np.floor(start + within * scale), 0, canvas - 1).astype(int)
