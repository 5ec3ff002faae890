"""Figures: what is drawn where, legible, the same each time, and without a trace elsewhere."""

import io
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from bench.core.errors import BenchError, WrongUsage
from bench.core.files import sha256
from bench.images import Pixels
from bench.report.figures import canvas
from bench.report.figures.pictures import GAP, Part, most_different, picture_grid
from bench.report.figures.points import Point, curves, pareto, pareto_front, scatter
from bench.report.figures.tradeoff import SweptRun, centre, lines, tradeoff
from bench.report.tables.table import Column
from tests.small import picture

LPIPS = Column("lpips", "LPIPS", higher_is_better=False, digits=4)
PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
SECONDS = Column("seconds", "Time", higher_is_better=False, digits=2, unit="s/image")
NFE = Column("evaluations", "NFE", higher_is_better=False, digits=0)
POINTS = [
    Point("Bicubic", 0.002, 0.56),
    Point("A method of $5 {with} a_name that is long", 1.0, 0.1),
    Point("ILVR", 0.9, 0.12),
    Point("DPI", 2.5, 0.11),
]


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with canvas.drawing():
        yield


def sweep() -> list[SweptRun]:
    """tau of 0, 100, 200 and s of 1.0, 1.2 around (100, 1.0), a variant, and one further off."""
    points = [(0.0, 1.0, "a"), (100.0, 1.0, "a"), (200.0, 1.0, "a"), (100.0, 1.2, "a")]
    points += [(100.0, 1.0, "b"), (200.0, 1.2, "a")]
    return [
        SweptRun(
            {"tau": tau, "s": s, "form": form},
            x=40 - tau / 50 - s,
            y=0.1 + tau / 1000 + (form == "b") / 10,
            picture=picture(number),
            variant="w/o Form" if form == "b" else "",
        )
        for number, (tau, s, form) in enumerate(points)
    ]


def faces(side: int) -> list[tuple[str, list[Pixels | None]]]:
    """Three columns of two faces, the first of them of low resolution."""
    methods = [(str(x), [picture(10 * x + y, side) for y in range(2)]) for x in (1, 2)]
    return [("LR", [picture(1, 4), picture(2, 4)]), *methods]  # type: ignore[list-item]


def drawn(name: str) -> Any:
    if name == "grid":
        return picture_grid(faces(16), zoom="different")
    if name == "conditions":
        return picture_grid([("$y_{500}$", [picture()]), ("GT", [picture()])], math=True)
    if name == "pareto":
        return pareto(POINTS, LPIPS, SECONDS)
    if name == "curves":
        return curves({"DDNM": POINTS[:2], "DPI": POINTS[2:]}, LPIPS, NFE)
    if name == "scatter":
        return scatter([(20.0, 21.0), (22.0, 21.5), (23.0, 23.0)], ("DDNM", "DPI"), PSNR)
    return tradeoff(sweep(), PSNR, LPIPS)


@cache
def encoded(name: str, suffix: str) -> bytes:
    return canvas.encode(drawn(name), suffix)


ALL = ("grid", "conditions", "pareto", "curves", "scatter", "tradeoff")


def pixels_of(figure: Any) -> Pixels:
    return decoded(canvas.encode(figure, ".png"))


def decoded(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("name", ALL)
def test_it_fits_one_column_of_a_paper(name: str) -> None:
    assert decoded(encoded(name, ".png")).shape[1] == 975  # 3.25 inches, 300 dots to the inch
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", encoded(name, ".pdf"))
    assert box is not None
    assert float(box[1]) == pytest.approx(3.25 * 72)


@pytest.mark.parametrize("name", ALL)
def test_every_text_is_legible_and_on_the_page(name: str) -> None:
    figure = drawn(name)
    figure.canvas.draw()
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
    assert len(sizes) >= 2
    assert min(sizes) >= 7
    page, used = figure.bbox_inches, figure.get_tightbbox()  # inches, of all that is drawn
    bleed = 1 / 300  # a pixel, by which glyphs reach over their boxes
    assert used.x0 >= page.x0 - bleed
    assert used.x1 <= page.x1 + bleed
    assert used.y0 >= page.y0 - bleed
    assert used.y1 <= page.y1 + bleed


@pytest.mark.parametrize("name", ALL)
def test_fonts_are_embedded_as_truetype_and_files_bear_no_date(name: str) -> None:
    pdf = encoded(name, ".pdf")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"Date" not in pdf
    assert b"tIME" not in encoded(name, ".png")


def test_the_same_figure_is_the_same_file_in_another_process() -> None:
    code = (
        "import hashlib; from tests.report.test_figures import canvas, drawn\n"
        "with canvas.drawing():\n"
        "    for kind in ('.pdf', '.png'):\n"
        "        print(hashlib.sha256(canvas.encode(drawn('tradeoff'), kind)).hexdigest())"
    )
    root = Path(__file__).parents[2]
    environment = {"PYTHONHASHSEED": "1", "PATH": "", "PYTHONPATH": str(root), "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True
    )
    here = [sha256(encoded("tradeoff", kind)) for kind in (".pdf", ".png")]
    assert done.stdout.split() == here, done.stderr


def test_neither_a_users_style_nor_ours_leaks() -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        with canvas.drawing():
            assert mpl.rcParams["font.size"] == canvas.FONT
            assert mpl.rcParams["axes.facecolor"] == "white"
            inside = canvas.encode(drawn("pareto"), ".png")
        assert mpl.rcParams["font.size"] == 30
        assert mpl.rcParams["axes.facecolor"] == "red"
    assert inside == canvas.encode(drawn("pareto"), ".png")


def test_colours_are_of_one_palette_and_looks_differ() -> None:
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(canvas.COLOURS) == okabe_ito
    assert len({tuple(canvas.look(i).values()) for i in range(56)}) == 56


def test_pictures_of_their_own_size_are_drawn_pixel_by_pixel() -> None:
    side = (975 - 2 * GAP) // 3
    made = faces(side)
    image = pixels_of(picture_grid(made))
    header = len(image) - 2 * side - GAP
    for x, (_, column) in enumerate(made[1:], start=1):
        for y, expected in enumerate(column):
            assert expected is not None
            top, left = header + y * (side + GAP), x * (side + GAP)
            np.testing.assert_array_equal(image[top : top + side, left : left + side], expected)
    low = image[header : header + side, :side]
    assert len(np.unique(low.reshape(-1, 3), axis=0)) == 16, "the input keeps its 4 x 4 pixels"


def test_a_missing_picture_is_grey() -> None:
    image = pixels_of(picture_grid([("A", [picture()]), ("B", [None])], zoom="different"))
    assert (image[-20:, -20:] == 225).all()


def test_what_is_enlarged_lies_opposite_to_its_place() -> None:
    plain = np.full((100, 100, 3), 128, np.uint8)
    plain[10:30, 10:30] = 250  # the only light, above and to the left
    image = pixels_of(picture_grid([("A", [plain])], zoom=Part(0.1, 0.1, 0.2)))
    assert (image[-200:-100, -200:-100] == 250).all()
    assert (image[-200:-100, 100:200] == 128).all()


@given(st.integers(15, 60), st.integers(15, 60))
@settings(deadline=None, max_examples=20)
def test_it_finds_where_methods_differ(left: int, top: int) -> None:
    one = picture(0, 100) // 2
    other = one.copy()
    other[top : top + 25, left : left + 25] += 60
    other[:10] += 100  # the background is no reason
    part = most_different([picture(3, 8), one, None, other])
    assert (part.left, part.top, part.side) == (left / 100, top / 100, 0.25)


def test_where_nothing_differs_the_middle_is_shown() -> None:
    assert most_different([picture(), picture()]) == Part(0.375, 0.375)


def test_too_many_pictures_are_refused_with_the_width_that_they_need() -> None:
    made = [(str(i), [picture()]) for i in range(14)]
    with pytest.raises(BenchError, match=r"14 columns do not fit.*--width 4\.5"):
        picture_grid(made)
    picture_grid(made, width=4.6)


@pytest.mark.parametrize("label", ["DPI w/o Stage II (tau 200, s 1.4)", "x" * 40, "$5 a_b^c"])
def test_labels_are_broken_to_fit(label: str) -> None:
    for width in (0.4, 0.8, 1.5):
        shown = canvas.wrapped(label, width)
        assert shown.count("\n") < 3
        assert all(canvas.text_width(line) <= width for line in shown.split("\n"))
    assert canvas.wrapped(label, 10) == label


def test_dollars_are_dollars() -> None:
    with_dollars = pixels_of(pareto([Point("a $x$ b", 1, 1), Point("c", 2, 2)], PSNR, SECONDS))
    without = pixels_of(pareto([Point("a x b", 1, 1), Point("c", 2, 2)], PSNR, SECONDS))
    assert (with_dollars != without).any()


numbers = st.floats(0.1, 10).map(lambda x: round(x, 1))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12), st.booleans())
def test_the_front_is_what_nothing_beats(places: list[tuple[float, float]], higher: bool) -> None:
    points = [Point("", *place) for place in places]
    front = pareto_front(points, higher)

    def beats(a: Point, b: Point) -> bool:
        better = a.y >= b.y if higher else a.y <= b.y
        return a.x <= b.x and better and (a.x, a.y) != (b.x, b.y)

    unbeaten = [p for p in points if not any(beats(q, p) for q in points)]
    assert sorted(front, key=str) == sorted(unbeaten, key=str)
    assert [p.x for p in front] == sorted(p.x for p in front)


@pytest.mark.parametrize(
    ("metric", "upper", "lower"),
    [
        (PSNR, "DPI better: 1", "DDNM better: 2, 1 equal"),
        (LPIPS, "DDNM better: 1", "DPI better: 2"),
    ],
)
def test_each_side_of_the_diagonal_is_counted(metric: Column, upper: str, lower: str) -> None:
    pairs = [(1.0, 2.0), (2.0, 1.0), (3.0, 2.5), (1.5, 1.5), (math.inf, 2.0), (1.0, math.nan)]
    (axes,) = scatter(pairs, ("DDNM", "DPI"), metric).axes
    above, below = (text.get_text().replace("\n", " ") for text in axes.texts)
    assert above == upper
    assert below.startswith(lower)
    assert axes.get_xlim() == axes.get_ylim()
    assert "DDNM" in axes.get_xlabel()
    assert "DPI" in axes.get_ylabel()


def test_a_curve_for_each_setting_through_the_middle() -> None:
    runs = sweep()
    around = centre(runs)
    assert around is runs[1]
    found = {line.name: line.values for line in lines(runs, around)}
    assert found == {"tau": ("0", "100", "200"), "s": ("1", "1.2"), "variants": ("w/o Form",)}
    axes = tradeoff(runs, PSNR, LPIPS).axes
    labels = {text.get_text() for text in axes[0].texts}
    assert labels == {"0", "200", "1.2", "w/o Form"}
    titles = [face.get_title() for face in axes[1:]]
    assert titles == ["0", "100", "200", "1", "1.2", "w/o Form"]


def test_labels_stand_within_the_axes_and_not_on_each_other() -> None:
    figure = pareto([Point(f"method {i}", 2.0**i, 0.5 + i % 2) for i in range(5)], PSNR, SECONDS)
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 5
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_labels_of_close_points_keep_clear_of_each_other() -> None:
    axes = canvas.blank(3, 3).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.5, 0.5), (0.52, 0.5), (0.5, 0.52)]
    written = canvas.label_points(axes, points, ["one", "two", "three"])
    boxes = [Text.get_window_extent(text) for text in written]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    places = axes.transData.transform(points)
    assert not any(box.contains(*place) for box in boxes for place in places)


def test_a_label_without_a_line_is_nearest_to_its_own_point() -> None:
    """Beside the first point there is room on all sides but the right, where the second is."""
    axes = canvas.blank(3, 3).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    (one,) = canvas.label_points(axes, [(0.5, 0.5)], ["o"])
    right = Text.get_window_extent(one)
    beyond = axes.transData.inverted().transform((right.x1 + 10, right.y0 + right.height / 2))
    assert right.x0 > axes.transData.transform((0.5, 0.5))[0]
    moved, _ = canvas.label_points(axes, [(0.5, 0.5), tuple(beyond)], ["o", "t"])
    assert Text.get_window_extent(moved).x1 < axes.transData.transform((0.5, 0.5))[0]


def test_where_labels_have_no_room_they_are_a_legend() -> None:
    crowd = [Point(f"method {i} with a long name", 1 + i / 100, 0.5) for i in range(12)]
    plot, legend = pareto(crowd, PSNR, SECONDS).axes
    assert not plot.texts
    assert [text.get_text() for text in legend.texts] == [point.label for point in crowd]
    looks = [(line.get_color(), line.get_marker()) for line in legend.lines]
    assert looks == [(line.get_color(), line.get_marker()) for line in plot.lines[1:]]
    assert len(set(looks)) == 12


def test_a_curve_joins_the_runs_of_a_method_in_order_of_cost() -> None:
    series = {"B": [Point("b2", 20, 0.2), Point("b1", 10, 0.3)], "A": [Point("a", 15, 0.1)]}
    plot, legend = curves(series, LPIPS, NFE).axes
    assert [np.asarray(line.get_xdata()).tolist() for line in plot.lines] == [[10, 20], [15]]
    assert [np.asarray(line.get_ydata()).tolist() for line in plot.lines] == [[0.3, 0.2], [0.1]]
    assert [text.get_text() for text in legend.texts] == ["B", "A"]
    looks = [(line.get_color(), line.get_marker()) for line in plot.lines]
    assert looks == [(line.get_color(), line.get_marker()) for line in legend.lines]
    assert len(set(looks)) == 2
    assert plot.get_xlabel() == "NFE \N{DOWNWARDS ARROW}"
    assert plot.get_xscale() == "log"


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(BenchError, match="No run has both a value and Time"):
        pareto([], PSNR, SECONDS)
    with pytest.raises(BenchError, match="No run has both a value and NFE"):
        curves({"DDNM": []}, PSNR, NFE)
    with pytest.raises(BenchError, match="no scored image in common"):
        scatter([(math.nan, 1.0)], ("A", "B"), PSNR)
    for runs in ([], sweep()[:1]):
        with pytest.raises(BenchError, match="run `bench sweep` first"):
            tradeoff(runs, PSNR, LPIPS)


def test_without_matplotlib_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.core.paths.find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"matplotlib not installed: run `pip .*\[figures\]'`"):
        canvas.require()


def test_the_suffix_is_the_format() -> None:
    canvas.check_name(Path("a.PDF"))
    for name in ("a.jpg", "a", "a.pdf.txt"):
        with pytest.raises(WrongUsage, match=rf"{name} must end in \.pdf or \.png"):
            canvas.check_name(Path(name))
