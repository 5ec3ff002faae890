"""Curves: which runs make one, and where its points are drawn."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.page.section import Section
from bench.report.page.sweeps import SIZE, Chart, families, sweeps_of, ticks
from bench.report.tables.table import Column, Row, Table
from bench.store.run import Run
from bench.store.schema import RunSpec

PSNR = Column("psnr", "PSNR", higher_is_better=True, digits=2, unit="dB")


def runs(*settings: dict[str, Any], **facts: Any) -> list[Run]:
    """Runs that exist as a description only."""
    made = []
    for place, values in enumerate(settings):
        spec = {"revision": 1, "testset": "t", "weights": {}, "seed": 0, **facts}
        run = Run(Path(f"dpi-{place}"))
        run.spec = RunSpec(method="dpi", settings=values, **spec)
        run.description = {"title": "DPI"}
        made.append(run)
    return made


def found(of: list[Run]) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """Setting, and the titles of lines with the values on them."""
    return [
        (setting, [(title, list(places)) for title, places in lines])
        for _, setting, lines in families(of)
    ]


def test_three_values_of_one_number_make_a_curve() -> None:
    three = runs(*({"tau": tau, "form": "paper", "crt": True} for tau in (0, 100, 300)))
    assert found(three) == [("settings tau", [("", [0, 100, 300])])]
    assert found(three[:2]) == []


def test_runs_that_differ_in_two_numbers_make_none() -> None:
    assert found(runs({"tau": 0, "s": 1}, {"tau": 1, "s": 2}, {"tau": 2, "s": 3})) == []


def test_words_truths_seeds_and_weights_make_none() -> None:
    assert found(runs({"form": "a"}, {"form": "b"}, {"form": "c"})) == []
    assert found(runs({"k": None}, {"k": "nan"}, {"k": 3})) == []
    assert found([run for seed in (0, 1, 2) for run in runs({}, seed=seed)]) == []
    assert found([run for w in ("1", "2", "3") for run in runs({}, weights={"prior": w})]) == []


def test_a_grid_makes_a_curve_for_each_value_of_the_other_number() -> None:
    grid = runs(*({"tau": tau, "s": s} for tau in (0, 1, 2) for s in (1.0, 1.2)))
    assert found(grid) == [
        ("settings tau", [("s 1.0", [0, 1, 2]), ("s 1.2", [0, 1, 2])]),
    ]


def test_a_number_of_a_method_inside_makes_a_curve() -> None:
    inside = runs(*({"restorer": {"settings": {"steps": steps}}} for steps in (10, 20, 50)))
    assert found(inside) == [("settings restorer settings steps", [("", [10, 20, 50])])]


def charts(values: list[float | None], taus: list[int]) -> tuple[Chart, ...]:
    """The charts of one metric, measured on one image."""
    of = runs(*({"tau": tau} for tau in taus))
    rows = [Row("dpi", "DPI", {} if v is None else {"psnr": {"1": v}}, 1) for v in values]
    table = Table("Tiny", 4, 1, 0, (PSNR,), tuple(rows))
    section = Section(NAMED, [[run] for run in of], [table])  # type: ignore[arg-type]
    sweeps = sweeps_of([section])
    assert all(sweep.setting == "tau" and sweep.title == "DPI" for sweep in sweeps)
    return sweeps[0].charts if sweeps else ()


class NAMED:
    """Of a test set a sweep knows the name."""

    name = "tiny"


def test_points_are_drawn_to_scale() -> None:
    (chart,) = charts([20.0, 24.0, 22.0], [0, 200, 100])
    assert chart.title == "PSNR (dB) ↑"
    (line,) = chart.lines
    assert [point.words for point in line.points] == [
        "tau 0: 20.00",
        "tau 100: 22.00",
        "tau 200: 24.00",
    ]
    left, right = SIZE["left"], SIZE["width"] - SIZE["right"]
    assert [point.x for point in line.points] == [left, (left + right) / 2, right]
    bottom, top = SIZE["height"] - SIZE["bottom"], SIZE["top"]
    assert [point.y for point in line.points] == [bottom, (bottom + top) / 2, top]
    assert chart.up == ((bottom, "20"), *chart.up[1:-1], (top, "24"))
    assert [label for _, label in chart.across] == ["0", "100", "200"]


def test_labels_that_would_overlap_are_left_out() -> None:
    (chart,) = charts([1.0, 2.0, 3.0, 4.0], [0, 1, 500, 1000])
    assert [label for _, label in chart.across] == ["0", "500", "1000"]


def test_what_never_moves_or_is_not_measured_has_no_chart() -> None:
    assert charts([1.0, 1.0, 1.0], [0, 1, 2]) == ()
    assert charts([1.0, None, 2.0], [0, 1, 2]) == ()
    assert charts([1.0, float("inf"), 2.0], [0, 1, 2]) == ()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_enclose(low: float, width: float) -> None:
    high = low + width
    if not low < high:
        return
    made = ticks(low, high)
    step = made[1] - made[0]
    slack = 1e-9 * max(1.0, abs(low), abs(high))  # ticks are rounded to 12 decimals
    assert 3 <= len(made) <= 7
    assert made[0] <= low + slack
    assert high - slack <= made[-1]
    assert made[0] + step > low - slack
    assert made[-1] - step < high + slack
    assert made == pytest.approx([made[0] + i * step for i in range(len(made))], abs=10 * slack)
