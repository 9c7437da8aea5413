"""OHIF in the survey: each object in a study with nothing but its image."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser

from sonogate.demo.ohif import DISTRIBUTION, OhifNotInstalled, serve_ohif
from tests import peers
from tests.viewers.ohif import Ohif, ViewerFailed, open_ohif
from tests.viewers.overlays import judge_overlay
from tests.viewers.programs import Started, Workplace, read_canvas, screenshot
from tests.viewers.seen import Seen, Verdict, first_sentence, judge_mask, judge_picture
from tests.viewers.standard_studies import StandardStudy, read_frames, read_modality

_PATIENCE_MS = 8000
_CRASHED = "Something went wrong"
_BOX_TOLERANCE_PX = 1.5
_SETTLED_MS = 3000
_LEAST_COLOR = 12
_FAINT = 0.05
_LEAST_MAP_OVERLAP = 0.9


@contextmanager
def start(workplace: Workplace) -> Iterator[Started]:
    if not peers.DICOM_WEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed: `make peers` installs it")
    with peers.orthanc(workplace.folder) as pacs:
        try:
            with serve_ohif(("127.0.0.1", pacs.http_port)) as address:
                version = json.loads((DISTRIBUTION.parent / "package.json").read_text())["version"]
                yield Started(version, partial(_show, workplace.browser, pacs, address))
        except OhifNotInstalled as error:
            pytest.skip(str(error))


def _show(
    browser: Browser, pacs: peers.Orthanc, address: str, study: StandardStudy, spec: str
) -> Seen:
    path = study.files[spec]
    header = pydicom.dcmread(path, stop_before_pixels=True)
    _store_alone(pacs, study, spec)
    with open_ohif(browser, address) as ohif:
        ohif.open_study(str(header.StudyInstanceUID))
        ohif.page.set_default_timeout(_PATIENCE_MS)
        try:
            seen = _load(ohif, study, spec, str(header.SeriesDescription))
        except ViewerFailed as failure:
            seen = _explain(ohif, failure)
        return Seen(seen.verdict, seen.detail, screenshot(ohif.page))


def _store_alone(pacs: peers.Orthanc, study: StandardStudy, spec: str) -> None:
    with urllib.request.urlopen(f"{pacs.url}/studies", timeout=30) as answer:  # noqa: S310  loopback
        for stored in json.load(answer):
            url = f"{pacs.url}/studies/{stored}"
            urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()  # noqa: S310  loopback
    pacs.store(study.source, study.files[spec])


def _load(ohif: Ohif, study: StandardStudy, spec: str, description: str) -> Seen:
    path = study.files[spec]
    match read_modality(path):
        case "DOC":
            ohif.load(description, image=False)
            return _judge_document(ohif, bytes(pydicom.dcmread(path).EncapsulatedDocument))
        case "SEG":
            ohif.load(description, image=False)
            ohif.hydrate()
            ohif.show_frame(study.reported_frame)
            drawn = ohif.drawn_mask(study.masks[study.reported_frame].shape)
            seen = judge_overlay(drawn, study, spec, study.reported_frame)
            names = ", ".join(f"“{one.label}”" for one in ohif.segments())
            return Seen(seen.verdict, f"{seen.detail}; panel: {names}")
        case "SR":
            ohif.load(description)
            ohif.hydrate()
            ohif.show_frame(study.reported_frame)
            return _judge_contours(ohif, study)
        case "KO" | "PR":
            before = screenshot(ohif.page)
            ohif.load(description)
            same = np.array_equal(before, screenshot(ohif.page))
            return Seen(Verdict.NOT_SHOWN, "the image is unchanged" if same else "another image")
    if "PixelData" not in pydicom.dcmread(path):  # a parametric map
        ohif.load(description, image=False)
        ohif.page.wait_for_timeout(_SETTLED_MS)
        return _judge_colors(ohif, read_frames(path)[0])
    ohif.load(description)
    expected = read_frames(path)[0]
    shown = ohif.shown_image((expected.shape[0], expected.shape[1]))
    return judge_picture(shown, expected, Verdict.SHOWN)


def _judge_contours(ohif: Ohif, study: StandardStudy) -> Seen:
    boxes = ohif.drawn_contours()
    names = ", ".join(f"“{one.label}”" for one in ohif.measurements())
    for lesion in study.image.lesions:
        if lesion.frame_number != study.reported_frame:
            continue
        columns, rows = np.asarray(lesion.contour).T
        wanted = columns.min(), rows.min(), columns.max(), rows.max()
        errors = [np.abs(np.subtract(box, wanted)).max() for box in boxes]
        if not errors:
            return Seen(Verdict.NOT_SHOWN, f"no outline; panel: {names or 'empty'}")
        if min(errors) > _BOX_TOLERANCE_PX:
            return Seen(Verdict.WRONG, f"the outline is {min(errors):.0f} pixels off")
    return Seen(Verdict.SHOWN, f"panel: {names}")


def _judge_colors(ohif: Ohif, values: NDArray[np.generic]) -> Seen:
    """A parametric map is laid over its gray image, in colors that fade out with the values."""
    canvas = read_canvas(ohif.page.locator("canvas").first)
    colorfulness = canvas.max(axis=-1).astype(int) - canvas.min(axis=-1)
    drawn = colorfulness > _LEAST_COLOR
    return judge_mask(drawn, values > _FAINT * values.max(), least_overlap=_LEAST_MAP_OVERLAP)


def _judge_document(ohif: Ohif, document: bytes) -> Seen:
    """The viewer hands a document to the browser: is it the same?"""
    ohif.page.locator("object").wait_for()
    content: Any = ohif.page.evaluate(
        """async () => {
            const answer = await fetch(document.querySelector('object').data);
            const bytes = new Uint8Array(await answer.arrayBuffer());
            return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        }"""
    )
    same = base64.b64decode(content).rstrip(b"\0") == document.rstrip(b"\0")
    return Seen(Verdict.SHOWN if same else Verdict.WRONG, "in the browser's reader of PDF")


def _explain(ohif: Ohif, failure: ViewerFailed) -> Seen:
    if _CRASHED in ohif.page.locator("body").inner_text():
        return Seen(Verdict.CRASH, _first_error(ohif) or _CRASHED)
    error = _first_error(ohif)
    problem = str(failure).splitlines()[0].removeprefix("OHIF: ")
    return Seen(Verdict.NOT_SHOWN, error or first_sentence(problem))


def _first_error(ohif: Ohif) -> str:
    errors = [error.splitlines()[0] for error in ohif.errors]
    return first_sentence(errors[0].removeprefix("Error: ")) if errors else ""
