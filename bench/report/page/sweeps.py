"""Curves of a metric over a setting in which runs differ."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.report.page.content import flattened
from bench.report.page.section import Section
from bench.report.tables.collect import COSTS
from bench.report.tables.layout import header, number
from bench.report.tables.table import Cell, Column, Table
from bench.store.run import Run

FEWEST = 3
"""Least number of values for a curve."""

SIZE = {"width": 300, "height": 190, "left": 52, "right": 14, "top": 12, "bottom": 34}
"""Size of a chart and margins of its plot, in pixels."""

NEAREST = 21
"""Space between two labels below the plot."""


Ticks = tuple[tuple[float, str], ...]
"""Positions and labels along an axis."""

Map = Callable[[float], float]
"""From a value to its position in a chart, in pixels."""


@dataclass(frozen=True)
class Dot:
    """A dot: position, tooltip, colour number, and link."""

    x: float
    y: float
    words: str
    colour: int = 0
    link: str = ""


@dataclass(frozen=True)
class SweepLine:
    """Runs that differ in the setting only; the title distinguishes them from other lines."""

    title: str
    colour: int
    points: tuple[Dot, ...]

    @property
    def path(self) -> str:
        """Return the points of a polyline."""
        return polyline((point.x, point.y) for point in self.points)


@dataclass(frozen=True)
class Chart:
    """A metric over the setting."""

    title: str
    lines: tuple[SweepLine, ...]
    across: Ticks
    up: Ticks


@dataclass(frozen=True)
class Sweep:
    """Curves of a method over one setting, on one test set and protocol.

    `lines` are the titles of all that its charts have, in the order of their colours.
    """

    testset: str
    protocol: str
    method: str
    title: str
    setting: str
    lines: tuple[str, ...]
    charts: tuple[Chart, ...]


def sweeps_of(sections: Sequence[Section]) -> list[Sweep]:
    """Return every sweep in the results, also those not run as one."""
    return [
        sweep
        for section in sections
        for table in section.tables
        for sweep in _sweeps(section.testset.name, [group[0] for group in section.groups], table)
    ]


Places = Mapping[float, int]
"""Value of a setting -> index of its run."""


def families(runs: Sequence[Run]) -> Iterator[tuple[str, str, list[tuple[str, Places]]]]:
    """Yield method, setting and lines; runs of a line differ in that setting only.

    A line has at least `FEWEST` values of the setting.
    """
    facts = [_facts(run) for run in runs]
    for method in dict.fromkeys(run.spec.method for run in runs):
        own = [place for place, run in enumerate(runs) if run.spec.method == method]
        for setting in _numeric([facts[place] for place in own]):
            groups: dict[tuple[tuple[str, str], ...], dict[float, int]] = {}
            for place in (place for place in own if setting in facts[place]):
                rest = {name: value for name, value in facts[place].items() if name != setting}
                groups.setdefault(tuple(rest.items()), {})[float(facts[place][setting])] = place
            lines = {rest: found for rest, found in groups.items() if len(found) >= FEWEST}
            if lines:
                titles = _what_differs([dict(rest) for rest in lines])
                yield method, setting, list(zip(titles, lines.values(), strict=True))


_SETTING = "settings "


def _facts(run: Run) -> dict[str, str]:
    """Return the facts that distinguish runs of a method, as text."""
    spec = run.spec
    return dict(
        flattened(
            {
                "settings": spec.settings,
                "weights": {need: digest[:12] for need, digest in spec.weights.items()},
                "revision": spec.revision,
                "seed": spec.seed,
                "repetition": spec.repetition,
            }
        )
    )


def _numeric(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the settings that are numeric in all runs."""
    names = dict.fromkeys(name for of in facts for name in of if name.startswith(_SETTING))
    return [name for name in names if all(_is_number(of[name]) for of in facts if name in of)]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _what_differs(facts: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the facts in which runs differ, one text per run; "" for a single run."""
    names = dict.fromkeys(name for of in facts for name in of)
    apart = [name for name in names if len({of.get(name) for of in facts}) > 1]
    return [
        ", ".join(f"{name.removeprefix(_SETTING)} {of[name]}" for name in apart if name in of)
        for of in facts
    ]


def _sweeps(testset: str, runs: Sequence[Run], table: Table) -> Iterator[Sweep]:
    grid = table.cells
    for method, setting, lines in families(runs):
        name = setting.removeprefix(_SETTING)
        charts = []
        for i, column in enumerate(table.columns):
            curves = [(title, _curve(places, [row[i] for row in grid])) for title, places in lines]
            moves = len({y for _, curve in curves for y in curve.values()}) > 1
            if moves and column not in COSTS:
                charts.append(chart(column, name, curves))
        if charts:
            title = next(r.title for r in runs if r.spec.method == method)
            titles = tuple(title for title, _ in lines)
            yield Sweep(testset, table.protocol, method, title, name, titles, tuple(charts))


def _curve(places: Places, column: Sequence[Cell]) -> dict[float, float]:
    """Return setting value -> metric; empty if too few runs have one."""
    found = {x: column[place].value for x, place in sorted(places.items())}
    finite = {x: y for x, y in found.items() if y is not None and math.isfinite(y)}
    return finite if len(finite) >= FEWEST else {}


def chart(
    column: Column, setting: str, curves: Sequence[tuple[str, Mapping[float, float]]]
) -> Chart:
    """Draw titled curves of a metric over a setting."""
    xs = sorted({x for _, curve in curves for x in curve})
    ys = [y for _, curve in curves for y in curve.values()]
    across = scale(xs[0], xs[-1], SIZE["left"], SIZE["width"] - SIZE["right"])
    up, marks = up_axis(ys)

    def points(curve: Mapping[float, float]) -> tuple[Dot, ...]:
        return tuple(
            Dot(across(x), up(y), f"{setting} {x:g}: {number(y, column)}") for x, y in curve.items()
        )

    labelled = xs[:1]
    for x in xs[1:]:
        if across(x) - across(labelled[-1]) >= NEAREST:
            labelled.append(x)
    return Chart(
        header(column),
        tuple(
            SweepLine(title, colour, points(curve))
            for colour, (title, curve) in enumerate(curves)
            if curve
        ),
        tuple((across(x), f"{x:g}") for x in labelled),
        marks,
    )


def scale(low: float, high: float, start: float, end: float) -> Map:
    """Return the linear map from `low` and `high` to `start` and `end`."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def up_axis(values: Sequence[float]) -> tuple[Map, Ticks]:
    """Return the map of these values onto a chart's y axis, and its ticks."""
    steps = ticks(min(values), max(values))
    up = scale(steps[-1], steps[0], SIZE["top"], SIZE["height"] - SIZE["bottom"])
    return up, tuple((up(value), f"{value:.6g}") for value in steps)


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Return the points of an SVG polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def ticks(low: float, high: float) -> list[float]:
    """Return three to seven evenly spaced round numbers around a range."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, last + 1)]
