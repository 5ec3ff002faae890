"""The arithmetic of tables: common images, means and marks."""

import math
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.report.tables.layout import lay_out, number
from bench.report.tables.table import (
    NOT_MEASURED,
    NOTHING_IN_COMMON,
    Cell,
    Column,
    Mark,
    Row,
    Table,
    common_images,
    marks_of,
)

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")
LPIPS = Column("lpips", "LPIPS", higher_is_better=False, digits=4)

finite = st.floats(-1e6, 1e6)
means = st.lists(st.none() | finite | st.sampled_from([math.inf, -math.inf]), max_size=8)
columns = st.builds(
    Column,
    name=st.just("metric"),
    title=st.just("Metric"),
    higher_is_better=st.booleans(),
    digits=st.integers(0, 4),
)


def row(name: str, scores: Mapping[str, float], metric: str = "psnr") -> Row:
    return Row(name, name.upper(), {metric: scores}, images_done=len(scores))


def table(*rows: Row, column: Column = PSNR, images: int = 3) -> Table:
    return Table("set", 8, images, 0, (column,), rows)


def column_of(made: Table) -> list[Cell]:
    """The cells of the first column, without what statistics say of them."""
    found = (row_cells[0] for row_cells in made.cells)
    return [Cell(cell.value, cell.count, cell.mark, cell.reason) for cell in found]


@given(means, columns)
def test_marks_are_exactly_the_best_and_the_next_printed_value(
    values: list[float | None], column: Column
) -> None:
    marks = marks_of(values, column)
    assert len(marks) == len(values)
    printed = [
        None if v is None or not math.isfinite(v) else float(number(v, column)) for v in values
    ]
    comparable = [value for value in printed if value is not None]
    choose = max if column.higher_is_better else min
    best = choose(comparable) if len(comparable) > 1 else None
    rest = [value for value in comparable if value != best] if best is not None else []
    second = choose(rest) if rest else None
    for value, mark in zip(printed, marks, strict=True):
        if value is None or best is None:
            assert mark is Mark.NONE
        else:
            assert (mark is Mark.BEST) == (value == best)
            assert (mark is Mark.SECOND) == (value == second)


@given(st.data(), means, columns)
def test_the_order_of_rows_does_not_change_marks(
    data: st.DataObject, values: list[float | None], column: Column
) -> None:
    order = data.draw(st.permutations(range(len(values))))
    marks = marks_of(values, column)
    assert marks_of([values[i] for i in order], column) == tuple(marks[i] for i in order)


@given(st.lists(finite, min_size=2, max_size=8))
def test_lower_is_better_is_higher_is_better_of_the_negatives(values: list[float]) -> None:
    higher = Column("m", "M", higher_is_better=True, digits=3)
    lower = Column("m", "M", higher_is_better=False, digits=3)
    assert marks_of(values, higher) == marks_of([-value for value in values], lower)


@pytest.mark.parametrize(
    ("values", "column", "expected"),
    [
        ([20.0, 22.0, 21.0], PSNR, ["", "best", "second"]),
        ([0.2, 0.3, 0.1], LPIPS, ["second", "", "best"]),
        ([21.004, 21.001, 20.0], PSNR, ["best", "best", "second"]),
        ([math.inf, 21.0, 20.0], PSNR, ["", "best", "second"]),
        ([None, 21.0, 20.0], PSNR, ["", "best", "second"]),
        ([math.nan, 21.0, 20.0], PSNR, ["", "best", "second"]),
        ([21.0], PSNR, [""]),
        ([21.0, None, math.inf], PSNR, ["", "", ""]),
        ([-0.00001, 0.00001, 1.0], LPIPS, ["best", "best", "second"]),
        ([], PSNR, []),
    ],
)
def test_marks(values: list[float | None], column: Column, expected: list[str]) -> None:
    assert [mark.value for mark in marks_of(values, column)] == expected


scores = st.dictionaries(st.sampled_from("abcdef"), finite, min_size=1)


@settings(deadline=None)  # the first example imports scipy
@given(st.lists(scores, min_size=1, max_size=4))
def test_cells_average_over_the_images_that_all_rows_share(
    measured: list[dict[str, float]],
) -> None:
    shared = set.intersection(*(set(values) for values in measured))
    assume(shared)
    rows = [row(f"m{i}", values) for i, values in enumerate(measured)]
    for values, cell in zip(measured, column_of(table(*rows)), strict=True):
        assert cell.count == len(shared)
        assert cell.value == pytest.approx(statistics.fmean(values[image] for image in shared))


@given(scores, st.data())
def test_the_order_of_images_does_not_change_a_mean(
    measured: dict[str, float], data: st.DataObject
) -> None:
    shuffled = {image: measured[image] for image in data.draw(st.permutations(sorted(measured)))}
    assert column_of(table(row("a", measured))) == column_of(table(row("a", shuffled)))


def test_a_mean_is_rounded_once() -> None:
    assert column_of(table(row("a", {"1": 1e16, "2": 1.0, "3": -1e16})))[0].value == 1 / 3


def test_a_partly_done_method_narrows_the_others_to_its_images() -> None:
    easy = row("easy", {"1": 30.0})
    full = row("full", {"1": 32.0, "2": 20.0, "3": 20.0})
    assert column_of(table(easy, full)) == [
        Cell(30.0, 1, Mark.SECOND),
        Cell(32.0, 1, Mark.BEST),
    ]
    notes = lay_out(table(easy, full)).notes
    assert notes == ("PSNR: means over the 1 of 3 images for which all methods have a value.",)
    assert lay_out(table(easy, full)).labels == ("EASY (1/3)", "FULL")


def test_nothing_is_noted_where_every_image_counts() -> None:
    full = row("full", {"1": 32.0, "2": 20.0, "3": 20.0})
    assert lay_out(table(full, full)).notes == ()


def test_a_metric_lacking_the_same_images_everywhere_is_noted() -> None:
    done = Row("a", "A", {"psnr": {"1": 30.0, "2": 31.0}}, images_done=3)
    assert "over the 2 of 3 images" in lay_out(table(done)).notes[0]


def test_columns_over_the_same_number_of_images_share_a_note() -> None:
    measured = Row("a", "A", {"psnr": {"1": 30.0}, "lpips": {"1": 0.1}}, images_done=1)
    made = Table("set", 8, 3, 0, (PSNR, LPIPS), (measured,), notes=("Paper protocol.",))
    first, second = lay_out(made).notes
    assert first.startswith("PSNR, LPIPS: means over the 1 of 3 images")
    assert second == "Paper protocol."


def test_an_absent_value_keeps_its_reason_and_does_not_narrow_the_others() -> None:
    full = {"1": 32.0, "2": 20.0, "3": 20.0}
    absent = Row("b", "B", {}, images_done=3, missing={"psnr": "It needs weights."})
    unsaid = Row("c", "C", {"psnr": {}}, images_done=0)
    assert column_of(table(row("a", full), absent, unsaid)) == [
        Cell(24.0, 3),
        Cell(None, 0, reason="It needs weights."),
        Cell(None, 0, reason=NOT_MEASURED),
    ]


def test_rows_without_an_image_in_common_are_absent() -> None:
    made = table(row("a", {"1": 30.0}), row("b", {"2": 31.0}))
    assert column_of(made) == [Cell(None, 0, reason=NOTHING_IN_COMMON)] * 2
    assert common_images("psnr", made.rows) == ()


def test_a_value_that_is_not_a_number_makes_the_cell_absent() -> None:
    broken = row("a", {"1": 30.0, "2": math.nan, "3": math.inf})
    good = row("b", {"1": 30.0, "2": 31.0, "3": 32.0})
    assert column_of(table(broken, good)) == [
        Cell(None, 0, reason="Not a number for 1 of 3 images."),
        Cell(31.0, 3),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(math.inf, math.inf), (-math.inf, -math.inf)],
)
def test_identical_images_have_an_infinite_mean(value: float, expected: float) -> None:
    assert column_of(table(row("a", {"1": value, "2": 30.0}))) == [Cell(expected, 2)]


def test_opposite_infinities_do_not_fail() -> None:
    assert column_of(table(row("a", {"1": math.inf, "2": -math.inf})))[0].value == -math.inf


@pytest.mark.parametrize(
    ("mean", "column", "expected"),
    [
        (24.966, PSNR, "24.97"),
        (0.1, LPIPS, "0.1000"),
        (-0.00001, LPIPS, "0.0000"),
        (-1.5, PSNR, "-1.50"),
        (None, PSNR, "\N{EN DASH}"),
        (math.nan, PSNR, "\N{EN DASH}"),
        (math.inf, PSNR, "\N{INFINITY}"),
        (-math.inf, PSNR, "-\N{INFINITY}"),
    ],
)
def test_numbers_as_printed(mean: float | None, column: Column, expected: str) -> None:
    assert number(mean, column) == expected


def test_a_caption_says_what_was_measured() -> None:
    made = Table("CelebA", 16, 300, 7, (PSNR,), (), title="Main")
    assert lay_out(made).caption == "Main: CelebA, \N{MULTIPLICATION SIGN}16, N = 300, seed 7"
    assert lay_out(Table("LFW", None, 9, 0, (), ())).caption == "LFW, N = 9, seed 0"


def test_reasons_are_numbered_once_each() -> None:
    rows = tuple(Row(n, n, {}, 3, missing={"psnr": n[0], "lpips": "z"}) for n in ("x1", "x2"))
    layout = lay_out(Table("set", 8, 3, 0, (PSNR, LPIPS), rows))
    assert layout.reasons == ("x", "z")
    assert [[layout.note_number(cell) for cell in line] for line in layout.cells] == [[1, 2]] * 2


def test_importing_reports_brings_in_nothing_heavy() -> None:
    code = (
        "import bench.report, sys;"
        "print(sorted({'torch', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


FID = Column("fid", "FID", higher_is_better=False, digits=2, per="set")


def whole(name: str, value: float | None, done: int = 3, reason: str = "") -> Row:
    values = {} if value is None else {"fid": value}
    return Row(name, name, {}, done, {"fid": reason} if reason else {}, values)


def test_the_value_of_a_set_is_no_mean_and_narrowed_by_no_other_row() -> None:
    made = table(whole("a", 7.5), whole("b", 5.25), whole("c", None, 1, "Few."), column=FID)
    assert column_of(made) == [
        Cell(7.5, 3, Mark.SECOND),
        Cell(5.25, 3, Mark.BEST),
        Cell(None, 0, reason="Few."),
    ]
    assert lay_out(made).notes == ()
    assert column_of(table(whole("a", math.nan), column=FID)) == [
        Cell(None, 0, reason="Not a number.")
    ]


def test_images_without_a_value_are_counted_and_named() -> None:
    lost = {str(index): "no face was found" for index in range(12)}
    psnr = {"12": 20.0}
    made = Table(
        "set", 8, 13, 0, (PSNR,), (Row("a", "A", {"psnr": psnr}, 13, undefined={"psnr": lost}),)
    )
    (cell,) = column_of(made)
    assert (cell.value, cell.count) == (20.0, 1)
    assert lay_out(made).notes[1] == (
        "PSNR of A: no face was found in 12 of the 13 images "
        "(0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)."
    )


def test_a_caption_names_the_protocol() -> None:
    assert lay_out(Table("LFW", None, 9, 0, (), (), protocol="paper")).caption == (
        "LFW, N = 9, seed 0, paper protocol"
    )
