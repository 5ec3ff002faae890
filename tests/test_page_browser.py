"""The page in Chromium, from disk: sorted, filtered, compared, linked to, and closed to the net."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.report.page import write_page
from tests.browser import Browser, Tab
from tests.pages import FACES, IN_A_NAME, MARKUP, sections

METHODS = "#results figure:first-of-type tbody th"
HEADER = "#results figure:first-of-type thead th:nth-child({}) button"
"""Columns are counted from 1: methods, LPIPS, PSNR, FID."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    return write_page(root / "page", sections(root))


@pytest.fixture
def tab(chromium: Browser, page: Path) -> Iterator[Tab]:
    """The page in a tab of its own; whatever a test does there, no error and no request outside."""
    tab = Tab(chromium)
    tab.resize(1200, 900)
    tab.open(page)
    yield tab
    assert tab.errors == []
    folder = page.parent.as_uri() + "/"
    outside = ("about:blank", "data:,")
    assert [url for url in tab.requests if not url.startswith((folder, *outside))] == []
    tab.close()


def tip(tab: Tab) -> str:
    return " ".join(tab.texts("#tip")).replace("\n", " ")


def faces(tab: Tab) -> list[str]:
    return tab.texts("#grid b")


def test_a_heading_sorts_best_first_then_worst_then_as_it_was(tab: Tab) -> None:
    assert tab.texts(METHODS)[:3] == ["DPI (tau 0)", "DPI (tau 100)", "DPI (tau 300)"]
    tab.click(HEADER.format(3))
    best = tab.texts(METHODS)
    assert best[:3] == ["DPI (tau 300)", "DPI (tau 100)", "DPI (tau 0)"]
    header = "document.querySelector('thead th:nth-child(3)').ariaSort"
    assert tab.run(header) == "descending"
    tab.click(HEADER.format(3))
    worst = tab.texts(METHODS)
    assert worst[:3] == best[2::-1]
    assert worst[3] == best[3]  # it has no value, and stays last
    assert tab.run(header) == "ascending"
    tab.click(HEADER.format(2))
    assert tab.texts(METHODS)[0] == "DPI (tau 0)"
    assert tab.run(header) is None
    for _ in range(2):
        tab.click(HEADER.format(2))
    assert tab.texts(METHODS)[:3] == ["DPI (tau 0)", "DPI (tau 100)", "DPI (tau 300)"]


def test_filters_narrow_the_whole_page(tab: Tab) -> None:
    captions = tab.texts("#results figcaption")
    assert len(captions) == 2
    assert all("strict" in caption for caption in captions)
    assert tab.texts("#sweeps h3") == ["DPI: tau tiny-16-x4, strict"]
    tab.choose("#filters [name=protocol]", "paper")
    assert len(tab.texts("#results figcaption")) == 1
    assert tab.texts("#sweeps h3") == ["DPI: tau tiny-16-x4, paper"]
    tab.choose("#filters [name=protocol]", "All")
    assert len(tab.texts("#results figcaption")) == 3
    tab.choose("#filters [name=testset]", IN_A_NAME)
    assert len(tab.texts("#results figcaption")) == 1
    assert faces(tab) == [IN_A_NAME]
    assert len(tab.texts("#provenance summary")) == 2
    tab.choose("#filters [name=testset]", "")
    tab.click("#filters input[value=dpi]")
    assert len(tab.texts(METHODS)) == 1
    assert not tab.texts("#sweeps h3")


def test_details_come_on_hover_and_to_the_keyboard(tab: Tab) -> None:
    cell = "#results tbody tr:nth-child(3) td:nth-child(3)"
    x, y = tab.middle(cell)
    tab.mouse("mouseMoved", x, y)
    for said in (
        f"Mean 22.5 Images {FACES} of {FACES}",
        "Published 21.00 Difference +1.50",
        "Source DPI, Table 1, as DPI(Ours)",
        MARKUP,
    ):
        assert said in tip(tab)
    tab.mouse("mouseMoved", 1, 1)
    assert tip(tab) == ""
    tab.run(f"document.querySelector('{HEADER.format(4)}').focus()")
    tab.key("ArrowDown")
    assert tip(tab) == "Value 10 Of the whole set"
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft"):
        tab.key(key)
    assert tip(tab) == f"No value {MARKUP}"
    tab.key("Escape")
    assert tip(tab) == ""


def test_the_gallery_is_sorted_by_a_metric_and_shown_page_by_page(tab: Tab) -> None:
    assert tab.run("choices.left.selectedOptions[0].text") == MARKUP  # the last run, beside GT
    assert faces(tab)[0] == "face-0"
    assert len(faces(tab)) == 48
    assert tab.run("document.images.length") < 2 * 48 + 10
    tab.click("#pages [data-step='1']")
    assert len(faces(tab)) == FACES - 48
    undefined, absent = tab.run("gallery.faces.slice(-2).map((f) => gallery.testset.images[f])")
    assert {undefined, absent} <= set(faces(tab))  # without a value they are last
    assert tab.run("document.querySelector('#grid button[title]').title") == MARKUP
    tab.choose("#choices [name=left]", "DPI (tau 300)")
    order = tab.run("gallery.testset.images")
    assert faces(tab)[0] == order[-1]
    tab.choose("#choices [name=order]", "best")
    assert faces(tab)[0] == order[0]
    tab.choose("#choices [name=metric]", "PSNR (dB), strict")
    assert faces(tab)[0] == order[-1]
    tab.choose("#choices [name=order]", "worst")
    assert faces(tab)[0] == order[0]
    tab.choose("#choices [name=metric]", "LPIPS, strict")
    tab.choose("#choices [name=order]", "none")
    assert faces(tab) == order[:48]
    tab.choose("#choices [name=right]", MARKUP)
    tab.choose("#choices [name=order]", "loses")
    assert faces(tab)[0] == order[-3]  # 300 + i less 1 - i, of the images that both have
    tab.choose("#choices [name=order]", "wins")
    assert faces(tab)[0] == order[0]


def test_two_pictures_are_compared_with_a_slider(tab: Tab) -> None:
    tab.choose("#choices [name=left]", "LR")
    tab.click("#grid button")
    tab.wait("byId('left-picture').complete && byId('right-picture').complete")
    assert tab.texts("#viewer .name") == ["LR", "GT"]
    assert tab.run("[byId('left-picture').naturalWidth, byId('right-picture').naturalWidth]") == [
        4,
        16,
    ]
    clip = "getComputedStyle(byId('left-picture')).clipPath"
    assert tab.run(clip) == "inset(0px 50% 0px 0px)"
    tab.key("ArrowLeft")  # the slider has the focus
    assert tab.run(clip) == "inset(0px 51% 0px 0px)"
    x, y = tab.middle("#compare")
    width = tab.run("byId('compare').offsetWidth")
    tab.drag(x, y, to=x + width / 4)
    assert abs(int(tab.run("byId('slider').value")) - 75) <= 1  # a step is 1, the thumb 1 px wide
    tab.key("x")
    assert tab.texts("#viewer .name") == ["GT", "LR"]
    tab.click("#strip li:nth-child(2) button")
    assert tab.texts("#viewer .name") == ["GT", "DPI (tau 0)"]
    assert tab.run("document.querySelector('#strip [aria-pressed=true]').innerText").startswith(
        "DPI (tau 0)"
    )
    tab.key("Escape")
    assert not tab.run("viewer.open")
    tab.wait("location.hash == '#faces'")  # a dialog tells of its end in a task of its own


def test_a_missing_picture_is_said_to_be_missing(tab: Tab) -> None:
    absent = tab.run("gallery.testset.images.at(-1)")
    tab.run(f"open(gallery.testset.images.indexOf('{absent}'))")
    assert tab.texts("#viewer .name")[0] == f"{MARKUP}: no picture"
    assert tab.texts("#values tbody tr:last-child td")[0] == "\N{EN DASH}"


def test_a_link_opens_a_face(chromium: Browser, page: Path, tab: Tab) -> None:
    tab.open(page, "#face=face-7&left=lr&right=gt")
    assert tab.texts("#face") == ["face-7"]
    assert tab.texts("#viewer .name") == ["LR", "GT"]
    tab.key("n")
    following = tab.texts("#face")
    assert following != ["face-7"]
    link = tab.run("location.hash")
    tab.key("p")
    assert tab.texts("#face") == ["face-7"]
    tab.open(page, link)
    assert tab.texts("#face") == following
    tab.open(page, f"#face={quote(IN_A_NAME)}")
    assert tab.texts("#face") == [IN_A_NAME]
    tab.open(page, f"#face={quote(MARKUP)}")
    assert tab.texts("#status") == [f"The link names a face that is not here: {MARKUP}."]
    tab.open(page, "#face=%")
    assert not tab.run("viewer.open")


def test_a_label_leads_to_the_provenance_of_its_run(tab: Tab) -> None:
    tab.click("#results tbody tr:nth-child(2) th a")
    tab.wait("document.querySelectorAll('#provenance details[open]').length === 1")
    said = " ".join(tab.texts("#provenance details[open]"))
    assert "settings tau\n100" in said
    assert "commit\nabc123" in said


def test_texts_from_outside_are_shown_as_texts(tab: Tab) -> None:
    tab.click("#provenance details:nth-of-type(2) summary")
    for name in ("testset", "left", "right", "metric", "order"):
        assert tab.run(f"choices.{name}.options.length") > 0
    tab.choose("#choices [name=testset]", IN_A_NAME)
    tab.click("#grid button")
    tab.wait("byId('left-picture').complete")
    assert tab.run("window.bad === undefined")
    assert tab.run("document.querySelectorAll('[src=x], [onerror]').length") == 0
    assert tab.run("byId('left-picture').naturalWidth") == 16
    assert tab.run("document.scripts.length") == 3  # the data, and two of ours
    shown = tab.run("document.body.textContent")
    assert MARKUP in shown
    assert IN_A_NAME in shown


def test_the_policy_forbids_scripts_and_requests(chromium: Browser, page: Path) -> None:
    tab = Tab(chromium)
    tab.open(page)
    tab.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{ textContent: 'window.bad = 1' }))"
    )
    assert tab.run("window.bad === undefined")
    assert tab.run("fetch('https://example.org').then(() => 'got', () => 'refused')") == "refused"
    assert len(tab.errors) >= 2
    assert all("Content Security Policy" in error for error in tab.errors)
    tab.close()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_readable_on_a_phone_light_and_dark(tab: Tab, scheme: str, dark: bool) -> None:
    tab.resize(360, 740, scheme)
    assert tab.run("document.documentElement.scrollWidth") == 360
    luminance = (
        "(() => { const c = document.createElement('canvas').getContext('2d');"
        "c.fillStyle = getComputedStyle({}).{}; c.fillRect(0, 0, 1, 1);"
        "return c.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 765; })()"
    )
    ink, paper = (
        tab.run(luminance.replace("{}", "document.body", 1).replace("{}", name))
        for name in ("color", "backgroundColor")
    )
    assert (paper < ink) is dark
    assert abs(paper - ink) > 0.7
    tab.click("#grid button")
    assert tab.run("byId('compare').getBoundingClientRect().right") <= 360


def test_without_scripts_the_numbers_are_there(chromium: Browser, page: Path) -> None:
    tab = Tab(chromium)
    tab.command("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page)
    tables = tab.texts("#results tbody th")
    assert tables.count("DPI (tau 100)") == 2
    assert tab.texts("noscript")
    assert not tab.texts("#filters, #choices")
    tab.close()
