"""The pages in a real Chromium. A test fails on any error that the browser reports: of a script, a
missing file, a violation of the content security policy.

Tests of the study page share one site and one sign-in; the others have a site of their own.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from db import shadows, users
from db.engine import Database
from db.schema import Analysis, Instance, Review, Series, Study, StudyStatus
from models.phantom import Phantom
from models.predictor import Predictor
from tests.db.compared import BENIGN, MALIGNANT, add_read_image, shadow_of
from tests.webui.conftest import build_site, open_page, serve, sign_in, watch
from tests.webui.seeding import PASSWORD, SampleImage, Site, cine, still
from webui.settings import WebSettings
from workers.pipeline.aggregation import classify_image

pytestmark = pytest.mark.peer

SPICULATED = SampleImage([still("spiculated", 1)], (0.03, 0.1, 0.87))
CINE = SampleImage(cine("fibroadenoma", 2, 9), (0.1, 0.8, 0.1))
NORMAL = SampleImage([still("normal", 3)], (0.9, 0.07, 0.03))
NEW_PASSWORD = "another sentence, newly chosen"


@pytest.fixture(scope="module")
def shared_settings(tmp_path_factory: pytest.TempPathFactory) -> WebSettings:
    home = tmp_path_factory.mktemp("home")
    return WebSettings(home=home, refresh_interval_seconds=1, page_size=20)


@pytest.fixture(scope="module")
def shared_site(shared_settings: WebSettings, _migrated_file: Path) -> Iterator[Site]:
    path = shutil.copy(_migrated_file, shared_settings.home / "sonogate.db")
    database = Database(f"sqlite:///{path}")
    yield build_site(database, shared_settings)
    database.close()


@pytest.fixture(scope="module")
def shared_address(shared_settings: WebSettings, shared_site: Site) -> Iterator[str]:
    with serve(shared_settings, shared_site.database) as address:
        yield address


@pytest.fixture(scope="module")
def shared_study_id(shared_site: Site) -> UUID:
    """A study that no test changes."""
    return shared_site.add_study(NORMAL, SPICULATED, CINE, name="Berg^Anna")


@pytest.fixture
def study_id(shared_site: Site) -> UUID:
    return shared_site.add_study(NORMAL, SPICULATED, CINE, name="Berg^Anna")


@pytest.fixture(scope="module")
def reader_session(chromium: Browser, shared_address: str) -> StorageState:
    """The cookie of a radiologist who has signed in."""
    with open_page(chromium, shared_address) as page:
        sign_in(page, "reader")
        return page.context.storage_state()


@pytest.fixture
def reader_page(
    chromium: Browser, shared_address: str, reader_session: StorageState, complaints: list[str]
) -> Iterator[Page]:
    """A window in which a radiologist has signed in."""
    with open_page(chromium, shared_address, storage_state=reader_session) as page:
        watch(page, complaints)
        yield page


@pytest.fixture
def shared_study(reader_page: Page, shared_study_id: UUID) -> Page:
    """The open page of a study that the test does not change."""
    return _open_study(reader_page, shared_study_id)


@pytest.fixture
def study(reader_page: Page, study_id: UUID) -> Page:
    """The open page of a study of the test's own."""
    return _open_study(reader_page, study_id)


def _open_study(page: Page, study_id: UUID) -> Page:
    """Open a study and wait for its first frame."""
    page.goto(f"/study/{study_id}")
    expect(page.locator("#corner")).to_contain_text("AI in this frame")
    return page


def _find_review(site: Site, study_id: UUID) -> Review:
    with site.database.read() as session:
        return session.scalars(
            select(Review)
            .join(Analysis)
            .where(Analysis.study_id == study_id)
            .options(selectinload(Review.outlines))
        ).one()


def _pixel(page: Page) -> list[int]:
    """The middle of the drawn frame."""
    found: list[int] = page.evaluate(
        """() => {
            const canvas = document.getElementById("frame");
            const middle = [canvas.width / 2, canvas.height / 2, 1, 1];
            return [...canvas.getContext("2d").getImageData(...middle).data];
        }"""
    )
    return found


# ------------------------------------------------------------------------------ signing in


def test_a_one_time_password_is_changed_before_anything_else(page: Page, site: Site) -> None:
    with site.database.write() as session:
        user = users.get_user(session, "reader")
        one_time = users.reset_password(session, user, actor="test", now=site.now)
    page.goto("/")
    page.get_by_label("Username").fill("reader")
    page.get_by_label("Password").fill(one_time)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Change password")
    page.get_by_label("Current password").fill(one_time)
    page.get_by_label("New password", exact=False).first.fill(NEW_PASSWORD)
    page.get_by_label("Confirm new password").fill(NEW_PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/worklist")
    expect(page.get_by_role("status")).to_have_text("Password changed.")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("Sign in")


# ------------------------------------------------------------------------------ the worklist


def test_the_worklist_is_searched_filtered_and_sorted(page: Page, site: Site) -> None:
    site.add_study(SPICULATED, name="Berg^Anna")
    site.add_study(NORMAL, name="Okafor^Ngozi")
    site.add_study(NORMAL, name="Abel^Zoe")
    sign_in(page, "reader")
    page.locator("#filter-label").focus()
    page.keyboard.type("n")  # chooses "normal"
    expect(page.locator("#list .name")).to_have_count(2)
    assert "label=normal" in page.url
    expect(page.locator("#filter-label")).to_be_focused()
    page.get_by_role("link", name="Patient").click()
    expect(page.locator("#list .name")).to_have_text(["Abel, Zoe", "Okafor, Ngozi"])
    page.wait_for_load_state()  # the script that handles "/" has run
    page.keyboard.press("/")
    page.keyboard.type("okafor")
    page.keyboard.press("Enter")
    expect(page.locator("#list .name")).to_have_text(["Okafor, Ngozi"])
    assert "okafor" not in page.url
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#list .name")).to_have_count(3)


def test_the_worklist_has_pages(page: Page, site: Site) -> None:
    _many(site, 45)
    sign_in(page, "reader")
    page.get_by_role("link", name="Next page").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator(".pager")).to_contain_text("41–45 of 45")
    page.go_back()
    expect(page.locator(".pager")).to_contain_text("21–40 of 45")


def test_rows_are_updated_without_changing_scroll_position_and_focus(
    page: Page, site: Site
) -> None:
    _many(site, 30)
    sign_in(page, "reader")
    page.keyboard.press("ArrowUp")  # to the last patient of the page
    focused = page.evaluate("document.activeElement.id")
    before = page.evaluate("window.scrollY")
    assert before > 0
    changed = UUID(focused.removeprefix("study-"))
    with site.database.write() as session:
        session.get_one(Study, changed).status = StudyStatus.FAILED
    row = page.locator("tr", has=page.locator(f"#{focused}"))
    expect(row).to_contain_text("Analysis failed")
    assert page.evaluate("document.activeElement.id") == focused
    assert page.evaluate("window.scrollY") == before
    expect(page.locator("#summary")).to_contain_text("30 studies in the updated worklist")


def _many(site: Site, count: int) -> None:
    with site.database.write() as session:
        session.add_all(
            Study(
                study_instance_uid=f"2.25.{number + 1}",
                patient_name=f"P{number:02}",
                source_ae="PROBE",
                status=StudyStatus.RECEIVING,
                received_at=site.now,
                last_instance_at=site.now,
            )
            for number in range(count)
        )


def test_a_study_is_found_and_signed_without_javascript(
    chromium: Browser, address: str, site: Site
) -> None:
    site.add_study(NORMAL, name="Okafor^Ngozi")
    site.add_study(SPICULATED, name="Berg^Anna")
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "reader")
    page.locator("#filter-label").select_option("malignant")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#list .name")).to_have_text(["Berg, Anna"])
    page.get_by_role("link", name="Berg, Anna").click()
    expect(page.locator("noscript img")).to_be_visible()
    page.get_by_role("radio", name="Accept").check()
    page.get_by_role("button", name="Sign…").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.locator(".verified")).to_contain_text("signed by Reader")
    context.close()


# ------------------------------------------------------------------------------ the study


def test_the_page_opens_with_the_most_suspicious_image(shared_study: Page) -> None:
    expect(shared_study.locator(".thumbs [aria-current]")).to_have_attribute("data-image", "1")
    expect(shared_study.locator("#outlines polygon.malignant")).to_have_count(1)
    expect(shared_study.locator("#ruler text")).to_have_text(re.compile(r"\d+ mm"))
    assert _pixel(shared_study)[3] == 255


def test_the_image_fills_the_viewer(shared_study: Page) -> None:
    stage, plane = _box(shared_study.locator("#stage")), _box(shared_study.locator("#plane"))
    assert max(plane["width"] / stage["width"], plane["height"] / stage["height"]) > 0.99
    assert stage["width"] > 700
    assert stage["height"] > 600
    assert shared_study.evaluate("document.documentElement.scrollWidth") <= 1280


def _box(locator: Locator) -> dict[str, float]:
    box = locator.bounding_box()
    assert box is not None
    return dict(box)  # type: ignore[arg-type]  # a TypedDict of floats


def test_the_heat_map_covers_the_frame_with_the_chosen_opacity(shared_study: Page) -> None:
    heat = shared_study.locator("#heat")
    expect(heat).to_be_hidden()
    shared_study.keyboard.press("h")
    expect(heat).to_be_visible()
    expect(heat).to_have_js_property("naturalWidth", 320)
    shared_study.locator("#opacity").fill("80")
    expect(heat).to_have_css("opacity", "0.8")
    shared_study.locator("#opacity").fill("0")
    expect(heat).to_have_css("opacity", "0")
    shared_study.locator("#heat-toggle").click()
    expect(heat).to_be_hidden()


def test_outlines_are_hidden_and_shown(shared_study: Page) -> None:
    shared_study.keyboard.press("m")
    expect(shared_study.locator("#outlines polygon")).to_have_count(0)
    shared_study.locator("#mask").click()
    expect(shared_study.locator("#outlines polygon.malignant")).to_have_count(1)


def test_an_image_is_zoomed_panned_and_fitted(shared_study: Page) -> None:
    fitted = _box(shared_study.locator("#plane"))
    shared_study.locator("#stage").hover()
    shared_study.mouse.wheel(0, -400)
    shared_study.keyboard.press("+")
    assert _box(shared_study.locator("#plane"))["width"] > 2 * fitted["width"]
    moved = _box(shared_study.locator("#plane"))["x"]
    shared_study.mouse.down()
    shared_study.mouse.move(400, 300)
    shared_study.mouse.up()
    assert _box(shared_study.locator("#plane"))["x"] != moved
    shared_study.keyboard.press("f")
    assert _box(shared_study.locator("#plane")) == fitted


def test_a_cine_plays_at_its_frame_rate_and_pauses(shared_study: Page) -> None:
    page = shared_study
    page.keyboard.press("ArrowDown")
    position = page.locator("#position")
    expect(position).to_have_text("5 / 9")
    expect(page.locator("#corner")).to_contain_text("20 frames/s")
    expect(page.locator("#ticks rect")).to_have_count(5)
    before = _pixel(page)
    # The test moves the page's clock, so that the speed of the machine does not matter.
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    shown = "5 / 9"
    for number in (6, 7, 8, 9, 1, 2, 3):
        page.clock.run_for(49)
        assert position.inner_text() == shown
        page.clock.run_for(1)
        shown = f"{number} / 9"
        expect(position).to_have_text(shown)
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    page.clock.run_for(1000)
    assert position.inner_text() == shown
    page.keyboard.press("ArrowRight")
    expect(position).to_have_text("4 / 9")
    page.locator("#seek").fill("8")
    expect(page.locator("#corner")).to_contain_text("This frame was not analyzed")
    expect(page.locator("#outlines polygon")).to_have_count(0)
    assert _pixel(page) != before


def test_a_lesion_in_the_list_opens_its_frame(shared_study: Page) -> None:
    shared_study.locator(".thumbs [data-image='0']").click()
    expect(shared_study.locator("#corner")).to_contain_text("Image 1")
    shared_study.locator(".lesions button").nth(1).click()
    expect(shared_study.locator("#corner")).to_contain_text("Image 3")
    expect(shared_study.locator("#outlines polygon.benign")).to_have_count(1)


def test_a_frame_that_cannot_be_displayed_gives_an_error(
    reader_page: Page, shared_site: Site, study_id: UUID, complaints: list[str]
) -> None:
    with shared_site.database.read() as session:
        files = session.scalars(
            select(Instance.file).join(Series).where(Series.study_id == study_id)
        ).all()
    for file in files:
        shared_site.files.path(file).write_bytes(b"damaged")
    reader_page.goto(f"/study/{study_id}")
    expect(reader_page.locator("#viewer-error")).to_contain_text("cannot be displayed")
    complaints.clear()  # the browser reports each image that it does not get


# ------------------------------------------------------------------------------ the review


def test_a_class_is_changed_and_signed_from_the_keyboard(
    study: Page, shared_site: Site, study_id: UUID
) -> None:
    expect(study.get_by_text("Your classification")).to_be_hidden()
    study.keyboard.press("2")
    study.get_by_role("radio", name="Benign").check()
    study.get_by_label("Reason").locator("visible=true").select_option("Incorrect class")
    study.get_by_label("BI-RADS").select_option("3")
    study.get_by_role("textbox", name="Comment").fill("smooth, h and s stay letters here")
    expect(study.locator("#heat")).to_be_hidden()
    study.get_by_role("button", name="Save draft").click()
    expect(study.locator("#saved")).to_contain_text("not signed")
    study.locator("#stage").focus()
    study.keyboard.press("s")
    dialog = study.get_by_role("dialog", name="Sign review")
    expect(dialog).to_contain_text("Class changed: Benign")
    expect(dialog).to_contain_text("Reader, Dr, Clinic")
    study.keyboard.type(PASSWORD)
    study.keyboard.press("Enter")
    expect(study.locator(".verified")).to_contain_text("signed by Reader")
    expect(study.get_by_role("button", name="Amend…")).to_be_visible()
    review = _find_review(shared_site, study_id)
    assert (review.final_label, review.birads) == ("benign", "3")
    assert review.signed_at is not None


def _draw(page: Page, *corners: tuple[float, float]) -> None:
    """A closed line through places of the image, given in its pixels."""
    plane = _box(page.locator("#plane"))
    scale = plane["width"] / 320
    at = [(plane["x"] + x * scale, plane["y"] + y * scale) for x, y in (*corners, corners[0])]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=12)
    page.mouse.up()


def test_outlines_are_drawn_undone_removed_and_signed(
    study: Page, shared_site: Site, study_id: UUID
) -> None:
    study.keyboard.press("e")
    expect(study.get_by_role("toolbar", name="Edit outlines")).to_be_visible()
    _draw(study, (40, 40), (90, 40), (90, 90), (40, 90))
    expect(study.locator("#outlines polygon.edited")).to_have_count(1)
    expect(study.locator("#outlines polygon.malignant")).to_have_count(0)
    lesions = study.locator("#lesions")
    expect(lesions).to_contain_text("edited by reader")
    expect(lesions).to_contain_text("64 mm²")
    study.keyboard.press("u")
    expect(study.locator("#outlines polygon.malignant")).to_have_count(1)
    expect(lesions).not_to_contain_text("by reader")
    study.get_by_role("button", name="Remove lesion").click()
    expect(lesions).to_contain_text("removed by reader")
    study.get_by_role("button", name="Restore AI outline").click()
    expect(lesions).not_to_contain_text("by reader")
    study.get_by_label("Draw").select_option("New lesion")
    _draw(study, (40, 40), (90, 40), (90, 90), (40, 90))
    expect(lesions).to_contain_text("drawn by reader")
    study.keyboard.press("Escape")
    expect(study.get_by_role("toolbar", name="Edit outlines")).to_be_hidden()
    study.get_by_role("button", name="Save draft").click()
    expect(study.locator("#saved")).to_contain_text("not signed")
    study.reload()
    expect(study.locator("#outlines polygon.edited")).to_have_count(1)
    study.keyboard.press("s")
    dialog = study.get_by_role("dialog", name="Sign review")
    expect(dialog).to_contain_text("1 drawn")
    study.keyboard.type(PASSWORD)
    study.keyboard.press("Enter")
    expect(study.locator(".verified")).to_contain_text("signed by Reader")
    expect(study.locator("#outlines polygon.edited")).to_have_count(1)
    expect(study.locator("#edit")).to_have_count(0)
    (outline,) = _find_review(shared_site, study_id).outlines
    xs, ys = zip(*outline.contour, strict=True)
    assert [min(xs), min(ys), max(xs), max(ys)] == pytest.approx([40, 40, 90, 90], abs=1)
    assert 4 <= len(outline.contour) <= 12


def test_a_stroke_is_canceled_and_an_invalid_outline_refused(
    shared_study: Page, complaints: list[str]
) -> None:
    shared_study.keyboard.press("e")
    _draw(shared_study, (40, 40), (120, 100), (120, 40), (40, 100))
    expect(shared_study.locator("#review-problem")).to_contain_text("The outline crosses itself")
    expect(shared_study.locator("#outlines polygon.malignant")).to_have_count(1)
    complaints.clear()  # the browser logs the refusal, a 422, as an error
    stage = _box(shared_study.locator("#stage"))
    shared_study.mouse.move(stage["x"] + 300, stage["y"] + 200)
    shared_study.mouse.down()
    shared_study.mouse.move(stage["x"] + 400, stage["y"] + 300, steps=5)
    expect(shared_study.locator("#outlines .sketch")).to_have_count(1)
    shared_study.keyboard.press("Escape")
    shared_study.mouse.up()
    expect(shared_study.locator("#outlines .sketch")).to_have_count(0)
    expect(shared_study.locator("#outlines polygon.malignant")).to_have_count(1)
    expect(shared_study.get_by_role("toolbar", name="Edit outlines")).to_be_visible()


def test_an_incomplete_review_shows_what_is_missing(study: Page, complaints: list[str]) -> None:
    study.keyboard.press("3")
    study.get_by_role("button", name="Sign…").click()
    expect(study.locator("#review-problem")).to_contain_text("Choose a reason")
    expect(study.get_by_role("dialog")).to_be_hidden()
    complaints.clear()  # the browser logs the refusal, a 422, as an error
    study.get_by_label("Reason").locator("visible=true").select_option("Insufficient image quality")
    study.get_by_role("button", name="Sign…").click()
    dialog = study.get_by_role("dialog", name="Sign review")
    expect(dialog).to_contain_text("AI result rejected")
    dialog.get_by_text("Cancel").click()
    expect(dialog).to_be_hidden()


def test_deliveries_appear_without_a_reload(study: Page, shared_site: Site, study_id: UUID) -> None:
    expect(study.locator("#updates")).to_contain_text("No results created yet.")
    shared_site.publish_results(study_id, shared_site.add_destination("pacs"))
    expect(study.locator("#updates .delivered")).to_have_text("Delivered")


# ------------------------------------------------------------------------------ control


def test_an_auditor_filters_verifies_and_exports(page: Page, site: Site) -> None:
    study_id = site.add_study(NORMAL, NORMAL, NORMAL)
    sign_in(page, "auditor")
    page.get_by_role("link", name="Audit log", exact=True).click()
    page.get_by_label("Event").select_option("worker:study:analysed")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".events tbody tr")).to_have_count(1)
    page.get_by_role("link", name=str(study_id)[:8]).click()
    expect(page.locator(".events tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Verify hash chain").click()
    expect(page.get_by_role("status")).to_contain_text("The hash chain is intact")
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON Lines").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 4


def test_an_administrator_opens_every_page(page: Page, site: Site) -> None:
    study_id = site.add_study(NORMAL)
    sign_in(page, "admin")
    for name in ("Audit log", "Dead-letter queue", "Senders", "Destinations", "Users"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.goto(f"/study/{study_id}")
    expect(page.locator("#corner")).to_contain_text("AI in this frame")


# ------------------------------------------------------------------------------ other pages


def test_the_reader_classifies_an_undecided_study(reader_page: Page, shared_site: Site) -> None:
    unsure = replace(SPICULATED, probabilities=(0.2, 0.35, 0.45), confidence_threshold=0.6)
    study_id = shared_site.add_study(unsure, CINE)
    page = reader_page
    page.goto(f"/study/{study_id}")
    expect(page.locator(".result h2")).to_have_text("AI: Undecided")
    expect(page.locator("#outlines polygon.undecided")).to_have_count(1)
    expect(page.locator("input[value=accept]")).to_be_disabled()
    page.keyboard.press("2")
    page.locator("select[name=reason_modify]").select_option("AI result undecided")
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_shadow_page_fits_its_width(page: Page, site: Site) -> None:
    with site.database.write() as session:
        for shadow_class in (BENIGN, MALIGNANT):
            analysis, instance = add_read_image(session, BENIGN)
            shadows.record(session, shadow_of(analysis, instance, shadow_class), site.now)
    sign_in(page, "admin")
    page.goto("/audit")
    page.get_by_role("link", name="Shadow preset").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Shadow preset")
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    link = page.get_by_role("link", name="Open study")
    expect(link).to_have_attribute("href", f"/study/{analysis.study_id}")


@pytest.mark.skipif(
    "SONOGATE_SCREENSHOTS" not in os.environ, reason="set SONOGATE_SCREENSHOTS=1 to renew them"
)
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080)])
def test_the_images_of_the_readme_are_renewed(
    page: Page, site: Site, width: int, height: int
) -> None:
    shown = _add_phantoms(site)
    images = Path(__file__).parents[2] / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": width, "height": height})
    sign_in(page, "reader")
    page.screenshot(path=images / f"worklist-{width}.jpg", quality=90)
    page.goto(f"/study/{shown}")
    expect(page.locator("#corner")).to_contain_text("AI in this frame")
    page.keyboard.press("h")
    page.keyboard.press("1")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=images / f"study-{width}.jpg", quality=90)


def _add_phantoms(site: Site) -> UUID:
    """Add phantom studies with the results of the included networks; returns the one to show."""
    size = {"height": 480, "width": 640}
    spiculated, cyst, normal = (
        _predict([still(kind, seed, **size)])
        for kind, seed in (("spiculated", 3), ("cyst", 6), ("normal", 7))
    )
    sweep = _predict(cine("fibroadenoma", 5, 12, **size))
    doppler = SampleImage([still("normal", 8)], (1, 0, 0), refused="color-doppler")
    pacs = site.add_destination("pacs")
    site.add_study(doppler, name="Phantom^Doppler", patient_id="PHANTOM-0004")
    for number, (name, image) in enumerate({"Normal": normal, "Cyst": cyst}.items(), 2):
        study = site.add_study(image, name=f"Phantom^{name}", patient_id=f"PHANTOM-000{number}")
        site.publish_results(study, pacs, "the peer does not answer" if name == "Cyst" else "")
    shown = site.add_study(
        spiculated, sweep, cyst, normal, name="Phantom^Spiculated", patient_id="PHANTOM-0001"
    )
    site.publish_results(shown, pacs)
    site.receive_study([cyst], name="Phantom^Arriving", patient_id="PHANTOM-0005")
    return shown


def _predict(frames: Sequence[Phantom]) -> SampleImage:
    networks = Predictor.load()
    predictions = networks.predict([frame.image for frame in frames])
    classification, _ = classify_image([prediction.probabilities for prediction in predictions])
    outlined = [
        replace(frame, mask=prediction.mask)
        for frame, prediction in zip(frames, predictions, strict=True)
    ]
    heat = [prediction.heatmap for prediction in predictions]
    limit = networks.info.confidence_threshold
    return SampleImage(
        outlined, classification.probabilities, heat=heat, confidence_threshold=limit
    )
