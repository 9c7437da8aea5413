"""One headless Chromium for all tests that need a browser."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests import peers

OPTIONS = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"),
    "--no-first-run",
    # viewers draw with WebGL, here in software
    *("--use-gl=swiftshader", "--enable-webgl", "--ignore-gpu-blocklist"),
    "--enable-unsafe-swiftshader",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium until the block ends; skip the test if it is not installed."""
    program = peers.find_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()
