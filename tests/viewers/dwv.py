"""dwv, a web viewer of its own lineage, in Chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.viewers.overlays import judge_overlay
from tests.viewers.programs import HERE, Started, Workplace, new_page, screenshot, served
from tests.viewers.seen import (
    Picture,
    Seen,
    Verdict,
    changed,
    first_sentence,
    judge_picture,
)
from tests.viewers.standard_studies import OVERLAYS, StandardStudy, read_frames, read_modality

_PATIENCE_MS = 10_000
_PACKAGE = HERE / "node_modules" / "dwv" / "package.json"


@contextmanager
def start(workplace: Workplace) -> Iterator[Started]:
    if not _PACKAGE.exists():
        pytest.skip("dwv is not installed: `npm ci` in tests/viewers")
    version = json.loads(_PACKAGE.read_text())["version"]
    folder = workplace.folder
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "assets").symlink_to(_PACKAGE.parent / "dist" / "assets")  # decoders, below the page
    shutil.copy(HERE / "dwv.html", folder)
    for study in workplace.studies:
        (folder / study.name).symlink_to(study.source.parent)
    with served(folder) as address:
        yield Started(version, lambda study, spec: _show(workplace.browser, address, study, spec))


def _show(browser: Browser, address: str, study: StandardStudy, spec: str) -> Seen:
    if read_modality(study.files[spec]) in OVERLAYS:
        return _show_overlay(browser, address, study, spec)
    path = study.files[spec]
    errors, picture = _open(browser, address, [f"{study.name}/{path.name}"], 1)
    if errors or not picture.any():
        return Seen(Verdict.NOT_SHOWN, first_sentence((errors or ["a black page"])[0]), picture)
    seen = judge_picture(picture, read_frames(path)[0], Verdict.SHOWN)
    return Seen(seen.verdict, seen.detail, picture)


def _show_overlay(browser: Browser, address: str, study: StandardStudy, spec: str) -> Seen:
    frame = study.reported_frame
    image = f"{study.name}/{study.source.name}"
    _, before = _open(browser, address, [image], frame)
    source = judge_picture(before, study.frames[frame - 1], Verdict.SHOWN)
    if source.verdict is not Verdict.SHOWN:
        return Seen(Verdict.NOT_SHOWN, f"the image itself is not shown: {source.detail}", before)
    errors, after = _open(
        browser, address, [image, f"{study.name}/{study.files[spec].name}"], frame
    )
    drawn = changed(before, after)
    seen = judge_overlay(drawn, study, spec, frame)
    detail = first_sentence(errors[0]) if errors else seen.detail
    return Seen(seen.verdict, detail, after)


def _open(
    browser: Browser, address: str, paths: list[str], frame: int
) -> tuple[list[str], Picture]:
    """Load the files, and return the errors and the screenshot."""
    query = urlencode([*(("url", f"{address}/{path}") for path in paths), ("frame", frame)])
    with new_page(browser) as (page, complaints):
        page.goto(f"{address}/dwv.html?{query}")
        try:
            page.wait_for_function("window.answer", timeout=_PATIENCE_MS)
        except PlaywrightTimeout:
            return [*complaints.errors, "it goes on loading"], screenshot(page)
        page.wait_for_timeout(300)  # the last drawing
        answer = page.evaluate("window.answer")
        return [*answer["errors"], *complaints.errors], screenshot(page)
