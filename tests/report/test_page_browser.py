"""The page in Chromium, from disk: sorted, filtered, compared, linked to, and without network."""

import shutil
import time
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.report.page import write_page
from tests.pages import FACES, IN_A_NAME, MARKUP, sections

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
METHODS = "#results figure:first-of-type tbody th"
HEADER = "#results figure:first-of-type thead th:nth-child({}) button"
"""Columns are counted from 1: methods, LPIPS, PSNR, FID."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page on disk."""
    root = tmp_path_factory.mktemp("page")
    return write_page(root / "page", sections(root)).resolve().as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's browser, for this module alone: Playwright keeps an event loop running."""
    if CHROMIUM is None:
        pytest.skip("There is no Chromium here (tests/system-packages.txt).")
    with sync_playwright() as playwright:
        # Tests may run as root, and open only files of their own.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


class Watched:
    """Log messages and requests of a tab."""

    def __init__(self, tab: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        tab.on("console", lambda message: self.errors.append(message.text))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def tab(chromium: Browser, address: str) -> Iterator[Page]:
    """The page in a tab of its own, which logs no error and requests nothing outside its folder."""
    with chromium.new_context(viewport={"width": 1200, "height": 900}) as context:
        tab = context.new_page()
        watched = Watched(tab)
        tab.goto(address)
        yield tab
        tab.evaluate("0")  # all earlier events have arrived
        assert watched.errors == []
        own = (address.removesuffix("index.html"), "about:blank", "data:,")
        assert [url for url in watched.requests if not url.startswith(own)] == []


def follow(tab: Page, address: str) -> None:
    """Load an address anew, even if only its fragment differs."""
    tab.goto("about:blank")
    tab.goto(address)


def texts(tab: Page, selector: str) -> list[str]:
    """The texts of the visible elements."""
    return [text.strip() for text in tab.locator(selector).filter(visible=True).all_inner_texts()]


def tip(tab: Page) -> str:
    return " ".join(texts(tab, "#tip")).replace("\n", " ")


def faces(tab: Page) -> list[str]:
    return texts(tab, "#grid b")


def test_a_heading_sorts_best_first_then_worst_then_as_it_was(tab: Page) -> None:
    assert texts(tab, METHODS)[:3] == ["DPI (tau 0)", "DPI (tau 100)", "DPI (tau 300)"]
    tab.click(HEADER.format(3))
    best = texts(tab, METHODS)
    assert best[:3] == ["DPI (tau 300)", "DPI (tau 100)", "DPI (tau 0)"]
    header = "document.querySelector('thead th:nth-child(3)').ariaSort"
    assert tab.evaluate(header) == "descending"
    tab.click(HEADER.format(3))
    worst = texts(tab, METHODS)
    assert worst[:3] == best[2::-1]
    assert worst[3] == best[3]  # it has no value, and stays last
    assert tab.evaluate(header) == "ascending"
    tab.click(HEADER.format(2))
    assert texts(tab, METHODS)[0] == "DPI (tau 0)"
    assert tab.evaluate(header) is None
    for _ in range(2):
        tab.click(HEADER.format(2))
    assert texts(tab, METHODS)[:3] == ["DPI (tau 0)", "DPI (tau 100)", "DPI (tau 300)"]


def test_filters_narrow_the_whole_page(tab: Page) -> None:
    captions = texts(tab, "#results figcaption")
    assert len(captions) == 2
    assert all("strict" in caption for caption in captions)
    assert texts(tab, "#sweeps h3") == ["DPI: tau tiny-16-x4, strict"]
    tab.select_option("#filters [name=protocol]", "paper")
    assert len(texts(tab, "#results figcaption")) == 1
    assert texts(tab, "#sweeps h3") == ["DPI: tau tiny-16-x4, paper"]
    tab.select_option("#filters [name=protocol]", "All")
    assert len(texts(tab, "#results figcaption")) == 3
    tab.select_option("#filters [name=testset]", IN_A_NAME)
    assert len(texts(tab, "#results figcaption")) == 1
    assert faces(tab) == [IN_A_NAME]
    assert len(texts(tab, "#provenance summary")) == 2
    tab.select_option("#filters [name=testset]", "")
    tab.click("#filters input[value=dpi]")
    assert len(texts(tab, METHODS)) == 1
    assert not texts(tab, "#sweeps h3")
    lanes = tab.locator("g[data-method=dpi]")
    assert lanes.count() > 0
    assert lanes.filter(visible=True).count() == 0


def test_details_come_on_hover_and_to_the_keyboard(tab: Page) -> None:
    cell = "#results tbody tr:nth-child(3) td:nth-child(3)"
    tab.hover(cell)
    for said in (
        f"Mean 22.5 Images {FACES} of {FACES}",
        "Published 21.00 Difference +1.50",
        "Source DPI, Table 1, as DPI(Ours)",
        MARKUP,
    ):
        assert said in tip(tab)
    tab.mouse.move(1, 1)
    assert tip(tab) == ""
    tab.evaluate(f"document.querySelector('{HEADER.format(4)}').focus()")
    tab.keyboard.press("ArrowDown")
    assert tip(tab) == "Value 10 Of the whole set"
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft"):
        tab.keyboard.press(key)
    assert tip(tab) == f"No value {MARKUP}"
    tab.keyboard.press("Escape")
    assert tip(tab) == ""


def test_the_gallery_is_sorted_by_a_metric_and_shown_page_by_page(tab: Page) -> None:
    assert tab.evaluate("choices.left.selectedOptions[0].text") == MARKUP  # the last run, beside GT
    assert faces(tab)[0] == "face-0"
    assert len(faces(tab)) == 48
    assert tab.evaluate("document.images.length") < 2 * 48 + 10
    tab.click("#pages [data-step='1']")
    assert len(faces(tab)) == FACES - 48
    undefined, absent = tab.evaluate(
        "gallery.faces.slice(-2).map((f) => gallery.testset.images[f])"
    )
    assert {undefined, absent} <= set(faces(tab))  # without a value they are last
    assert tab.evaluate("document.querySelector('#grid button[title]').title") == MARKUP
    tab.select_option("#choices [name=left]", "DPI (tau 300)")
    order = tab.evaluate("gallery.testset.images")
    assert faces(tab)[0] == order[-1]
    tab.select_option("#choices [name=order]", "best")
    assert faces(tab)[0] == order[0]
    tab.select_option("#choices [name=metric]", "PSNR (dB), strict")
    assert faces(tab)[0] == order[-1]
    tab.select_option("#choices [name=order]", "worst")
    assert faces(tab)[0] == order[0]
    tab.select_option("#choices [name=metric]", "LPIPS, strict")
    tab.select_option("#choices [name=order]", "none")
    assert faces(tab) == order[:48]
    tab.select_option("#choices [name=right]", MARKUP)
    tab.select_option("#choices [name=order]", "loses")
    assert faces(tab)[0] == order[-3]  # 300 + i less 1 - i, of the images that both have
    tab.select_option("#choices [name=order]", "wins")
    assert faces(tab)[0] == order[0]


def until(tab: Page, expression: str) -> None:
    """Wait for a JavaScript expression to be true, at most 20 s.

    Playwright's own waiting evaluates strings inside the page, which the page's policy forbids.
    """
    end = time.monotonic() + 20
    while not tab.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        time.sleep(0.05)


def test_two_pictures_are_compared_with_a_slider(tab: Page) -> None:
    tab.select_option("#choices [name=left]", "LR")
    tab.click("#grid button")
    until(tab, "byId('left-picture').complete && byId('right-picture').complete")
    assert texts(tab, "#viewer .name") == ["LR", "GT"]
    assert tab.evaluate(
        "[byId('left-picture').naturalWidth, byId('right-picture').naturalWidth]"
    ) == [
        4,
        16,
    ]
    clip = "getComputedStyle(byId('left-layer')).clipPath"
    assert tab.evaluate(clip) == "inset(0px 50% 0px 0px)"
    tab.keyboard.press("ArrowLeft")  # the slider has the focus
    assert tab.evaluate(clip) == "inset(0px 51% 0px 0px)"
    box = tab.locator("#compare").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 3 / 4, middle)
    tab.mouse.up()
    assert (
        abs(int(tab.evaluate("byId('slider').value")) - 75) <= 1
    )  # a step is 1, the thumb 1 px wide
    tab.keyboard.press("x")
    assert texts(tab, "#viewer .name") == ["GT", "LR"]
    tab.click("#strip li:nth-child(2) button")
    assert texts(tab, "#viewer .name") == ["GT", "DPI (tau 0)"]
    assert tab.evaluate(
        "document.querySelector('#strip [aria-pressed=true]').innerText"
    ).startswith("DPI (tau 0)")
    tab.keyboard.press("Escape")
    assert not tab.evaluate("viewer.open")
    until(tab, "location.hash == '#faces'")  # a dialog tells of its end in a task of its own


def test_a_missing_picture_is_said_to_be_missing(tab: Page) -> None:
    absent = tab.evaluate("gallery.testset.images.at(-1)")
    tab.evaluate(f"open(gallery.testset.images.indexOf('{absent}'))")
    assert texts(tab, "#viewer .name")[0] == f"{MARKUP}: no picture"
    assert texts(tab, "#values tbody tr:last-child td")[0] == "\N{EN DASH}"


def test_a_link_opens_a_face(address: str, tab: Page) -> None:
    follow(tab, address + "#face=face-7&left=lr&right=gt")
    assert texts(tab, "#face") == ["face-7"]
    assert texts(tab, "#viewer .name") == ["LR", "GT"]
    tab.keyboard.press("n")
    following = texts(tab, "#face")
    assert following != ["face-7"]
    link = tab.evaluate("location.hash")
    tab.keyboard.press("p")
    assert texts(tab, "#face") == ["face-7"]
    follow(tab, address + link)
    assert texts(tab, "#face") == following
    follow(tab, address + f"#face={quote(IN_A_NAME)}")
    assert texts(tab, "#face") == [IN_A_NAME]
    follow(tab, address + f"#face={quote(MARKUP)}")
    assert texts(tab, "#status") == [f"The link names a face that is not on this page: {MARKUP}."]
    follow(tab, address + "#face=%")
    assert not tab.evaluate("viewer.open")


def test_a_label_leads_to_the_provenance_of_its_run(tab: Page) -> None:
    tab.click("#results tbody tr:nth-child(2) th a")
    until(tab, "document.querySelectorAll('#provenance details[open]').length === 1")
    said = " ".join(texts(tab, "#provenance details[open]"))
    assert "settings tau\n100" in said
    assert "commit\nabc123" in said


def test_texts_from_outside_are_shown_as_texts(tab: Page) -> None:
    tab.click("#provenance details:nth-of-type(2) summary")
    for name in ("testset", "left", "right", "metric", "order"):
        assert tab.evaluate(f"choices.{name}.options.length") > 0
    tab.select_option("#choices [name=testset]", IN_A_NAME)
    tab.click("#grid button")
    until(tab, "byId('left-picture').complete")
    assert tab.evaluate("window.bad === undefined")
    assert tab.evaluate("document.querySelectorAll('[src=x], [onerror]').length") == 0
    assert tab.evaluate("byId('left-picture').naturalWidth") == 16
    assert tab.evaluate("document.scripts.length") == 3  # the data, and two of ours
    shown = tab.evaluate("document.body.textContent")
    assert MARKUP in shown
    assert IN_A_NAME in shown


def test_the_policy_forbids_scripts_and_requests(chromium: Browser, address: str) -> None:
    tab = chromium.new_page()
    watched = Watched(tab)
    tab.goto(address)
    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{ textContent: 'window.bad = 1' }))"
    )
    assert tab.evaluate("window.bad === undefined")
    assert (
        tab.evaluate("fetch('https://example.org').then(() => 'got', () => 'refused')") == "refused"
    )
    assert len(watched.errors) >= 2
    assert all("Content Security Policy" in error for error in watched.errors)
    tab.close()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_readable_on_a_phone_light_and_dark(
    tab: Page, scheme: Literal["light", "dark"], dark: bool
) -> None:
    tab.set_viewport_size({"width": 360, "height": 740})
    tab.emulate_media(color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    luminance = (
        "(() => { const c = document.createElement('canvas').getContext('2d');"
        "c.fillStyle = getComputedStyle({}).{}; c.fillRect(0, 0, 1, 1);"
        "return c.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 765; })()"
    )
    ink, paper = (
        tab.evaluate(luminance.replace("{}", "document.body", 1).replace("{}", name))
        for name in ("color", "backgroundColor")
    )
    assert (paper < ink) is dark
    assert abs(paper - ink) > 0.7
    tab.click("#grid button")
    assert tab.evaluate("byId('compare').getBoundingClientRect().right") <= 360


def test_without_scripts_the_numbers_are_there(chromium: Browser, address: str) -> None:
    tab = chromium.new_page(java_script_enabled=False)
    tab.goto(address)
    tables = texts(tab, "#results tbody th")
    assert tables.count("DPI (tau 100)") == 2
    assert texts(tab, "noscript")
    assert not texts(tab, "#filters, #choices")
    tab.close()


def test_a_dot_of_a_distribution_opens_its_face(tab: Page) -> None:
    dot = tab.locator("#comparisons g a").nth(3)
    link = str(dot.get_attribute("href"))
    dot.locator("circle").dispatch_event("click")
    until(tab, "viewer.open")
    assert f"face={texts(tab, '#face')[0]}&" in link
    assert texts(tab, "#viewer .name")[0] == "DPI (tau 0)"


def test_pictures_are_enlarged_about_the_pointer_and_a_third_one_is_shown(tab: Page) -> None:
    tab.click("#grid button")
    tab.select_option("#viewer-third", "LR")
    assert texts(tab, "#third-name") == ["LR"]
    until(tab, "byId('third-picture').complete && byId('third-picture').naturalWidth === 4")
    box = tab.locator("#compare").bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    tab.keyboard.press("4")
    for picture in ("left-picture", "right-picture", "third-picture"):
        style = f"getComputedStyle(byId('{picture}'))"
        assert tab.evaluate(f"{style}.scale") == "4"
        assert tab.evaluate(f"{style}.imageRendering") == "pixelated"
    origin = tab.evaluate("byId('compare').style.getPropertyValue('--x')")
    assert float(origin.removesuffix("%")) == pytest.approx(25, abs=1)
    tab.keyboard.press("1")
    assert tab.evaluate("getComputedStyle(byId('left-picture')).scale") == "1"
    tab.select_option("#viewer-third", "None")
    assert tab.evaluate("byId('third').hidden")


def test_paired_comparisons_and_notes_fold(tab: Page) -> None:
    assert texts(tab, ".matrix figcaption") == []
    tab.locator("#comparisons summary", has_text="Paired").first.click()
    assert texts(tab, ".matrix figcaption")[0].startswith("LPIPS")
    notes = tab.locator("#results .folded").first
    before = notes.evaluate("part => part.open")
    notes.locator("summary").click()
    assert notes.evaluate("part => part.open") is not before
