"""The two viewers that come with Orthanc: the preview of Orthanc Explorer and the Web Viewer."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests import peers
from tests.viewers.programs import (
    Started,
    Workplace,
    new_page,
    read_canvas,
    screenshot,
    settled,
)
from tests.viewers.seen import (
    Picture,
    Seen,
    Verdict,
    first_sentence,
    judge_picture,
    share_of_white,
)
from tests.viewers.standard_studies import StandardStudy, has_pixels, read_frames, read_modality

_LEAST_PAPER = 0.1


@contextmanager
def start_explorer(workplace: Workplace) -> Iterator[Started]:
    with _orthanc(workplace) as pacs:
        version = _get(pacs, "/system")["Version"]
        yield Started(version, partial(_preview, workplace.browser, pacs))


@contextmanager
def start_web_viewer(workplace: Workplace) -> Iterator[Started]:
    if not peers.WEB_VIEWER_PLUGIN.exists():
        pytest.skip("orthanc-webviewer is not installed: `make peers` installs it on Debian")
    with _orthanc(workplace) as pacs:
        version = _get(pacs, "/plugins/web-viewer")["Version"]
        yield Started(version, partial(_view, workplace.browser, pacs))


@contextmanager
def _orthanc(workplace: Workplace) -> Iterator[peers.Orthanc]:
    with peers.orthanc(workplace.folder, plugins=[peers.WEB_VIEWER_PLUGIN]) as pacs:
        for study in workplace.studies:
            pacs.store(study.source, *study.files.values())
        yield pacs


def _preview(browser: Browser, pacs: peers.Orthanc, study: StandardStudy, spec: str) -> Seen:
    """Open the object's page and press the button that shows it."""
    path = study.files[spec]
    instance = _find(pacs, path)["ID"]
    with new_page(browser) as (page, _):
        page.goto(f"{pacs.url}/app/explorer.html#instance?uuid={instance}")
        page.wait_for_load_state("networkidle")
        page.get_by_text("Preview the instance").click()
        if read_modality(path) == "DOC":
            return _judge_document(page, path)
        page.locator("#lbBottom").wait_for()  # it slides out when the picture has its size
        picture = settled(page)
        box = page.locator("#lbImage > div")
        width, height = box.evaluate("box => [box.offsetWidth, box.offsetHeight]")
        # between two pixels of the screen, there is some border on its left
        shown = screenshot(box)[-height:, -width:]
    stamp = judge_picture(shown, _unsupported(pacs), Verdict.SHOWN)
    if stamp.verdict is Verdict.SHOWN:
        return Seen(Verdict.NOT_SHOWN, "a stamp: UNSUPPORTED", picture)
    if not has_pixels(path):
        return Seen(Verdict.NOT_SHOWN, f"another picture, {stamp.detail} with the stamp", picture)
    seen = judge_picture(shown, read_frames(path)[0], _verdict(path))
    return Seen(seen.verdict, seen.detail, picture)


def _judge_document(page: Page, path: Path) -> Seen:
    """The button leads the browser to the document: is it the same, and is it on the screen?"""
    page.wait_for_url("**/pdf", wait_until="commit")
    document = bytes(pydicom.dcmread(path).EncapsulatedDocument)
    with urllib.request.urlopen(page.url, timeout=30) as answer:  # noqa: S310  loopback
        same = answer.read().rstrip(b"\0") == document.rstrip(b"\0")
    for _ in range(60):  # Chromium loads its reader of PDF files, which tells nothing of its state
        picture = screenshot(page)
        if share_of_white(picture) > _LEAST_PAPER:
            verdict = Verdict.SHOWN if same else Verdict.WRONG
            return Seen(verdict, "in the browser's reader of PDF", picture)
        page.wait_for_timeout(500)
    return Seen(Verdict.NOT_SHOWN, "the browser shows no page", picture)


def _unsupported(pacs: peers.Orthanc) -> Picture:
    """Return the picture that Orthanc answers in place of one that it cannot make."""
    with urllib.request.urlopen(f"{pacs.url}/app/images/unsupported.png") as answer:  # noqa: S310  loopback
        stamp = Image.open(answer).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", stamp.size, "white"), stamp))[..., :3]


def _view(browser: Browser, pacs: peers.Orthanc, study: StandardStudy, spec: str) -> Seen:
    path = study.files[spec]
    series = _find(pacs, path)["ParentSeries"]
    with new_page(browser) as (page, complaints):
        page.goto(f"{pacs.url}/web-viewer/app/viewer.html?series={series}")
        canvas = page.locator("canvas").first
        before = np.zeros((1, 1, 3), np.uint8)
        for _ in range(60):  # the page itself never rests: something on it moves
            page.wait_for_timeout(250)
            if complaints.dialogs:
                said = first_sentence(complaints.dialogs[0])
                return Seen(Verdict.NOT_SHOWN, said, screenshot(page))
            drawn = read_canvas(canvas) if canvas.count() else before
            if drawn.any() and np.array_equal(drawn, before):
                break
            before = drawn
        seen = judge_picture(before, read_frames(path)[0], _verdict(path))
        return Seen(seen.verdict, seen.detail, screenshot(page))


def _verdict(path: Path) -> Verdict:
    return Verdict.ALONE if read_modality(path) == "SEG" else Verdict.SHOWN


def _find(pacs: peers.Orthanc, path: Path) -> Any:
    uid = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID
    query = json.dumps({"Level": "Instance", "Expand": True, "Query": {"SOPInstanceUID": uid}})
    request = urllib.request.Request(f"{pacs.url}/tools/find", query.encode(), method="POST")  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
        (found,) = json.load(answer)
    return found


def _get(pacs: peers.Orthanc, path: str) -> Any:
    with urllib.request.urlopen(f"{pacs.url}{path}", timeout=30) as answer:  # noqa: S310  loopback
        return json.load(answer)
