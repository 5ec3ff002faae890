"""Charts of a table: quality against cost, distributions, paired comparisons. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import urlencode

import numpy as np

from bench.report.figures.points import Point, pareto_front
from bench.report.page.content import image_metrics
from bench.report.page.section import Section
from bench.report.page.sweeps import SIZE, Dot, Map, Ticks, polyline, scale, ticks, up_axis
from bench.report.statistics import SIGNIFICANT, holm, paired
from bench.report.tables.collect import COSTS
from bench.report.tables.layout import header, number
from bench.report.tables.table import Column, Row, Table, common_images, mean

DOTS = 120
"""Most images drawn as dots; beyond, only the worst and best `ENDS` are."""

ENDS = 12
SECONDS, NFE, *_ = COSTS
BINS = 36
LANE = 34
"""Height of a method's lane in a distribution, in pixels."""

WIDE = {"width": 620, "left": 150, "right": 16, "top": 8, "bottom": 30}
"""Width of a distribution and margins of its plot, in pixels."""


@dataclass(frozen=True)
class Tradeoff:
    """A metric against a logarithmic cost, with the Pareto front as a polyline."""

    title: str
    cost: str
    dots: tuple[Dot, ...]
    front: str
    across: Ticks
    up: Ticks


@dataclass(frozen=True)
class Lane:
    """Distribution of one method: density outline, dots, and mean.

    `y` is the lane's middle, `colour` a number.
    """

    title: str
    method: str
    y: float
    colour: int
    outline: str
    dots: tuple[Dot, ...]
    mean: float


@dataclass(frozen=True)
class DistributionChart:
    """Distribution of a metric over the images, one lane per method."""

    title: str
    height: int
    lanes: tuple[Lane, ...]
    across: Ticks


@dataclass(frozen=True)
class Pair:
    """Paired comparison of two methods: difference, interval and p-value as text."""

    text: str
    details: str
    better: bool | None


@dataclass(frozen=True)
class Matrix:
    """Paired comparisons of one metric; `rows` are None on the diagonal."""

    title: str
    labels: tuple[str, ...]
    rows: tuple[tuple[Pair | None, ...], ...]


@dataclass(frozen=True)
class Charts:
    """All charts of a table."""

    testset: str
    protocol: str
    labels: tuple[str, ...]
    tradeoffs: tuple[Tradeoff, ...]
    distributions: tuple[DistributionChart, ...]
    matrices: tuple[Matrix, ...]


def charts_of(sections: Sequence[Section]) -> list[Charts]:
    """Return the charts of every table."""
    return [
        Charts(
            section.testset.name,
            table.protocol,
            tuple(row.title for row in table.rows),
            tuple(_tradeoffs(table)),
            tuple(_distributions(section, table)),
            tuple(_matrices(table)),
        )
        for section in sections
        for table in section.tables
    ]


def _tradeoffs(table: Table) -> list[Tradeoff]:
    """Return a chart per metric and cost with at least two methods."""
    found = []
    for cost in (NFE, SECONDS):
        spent = [list(row.scores.get(cost.name, {}).values()) for row in table.rows]
        costs = [mean(values) if values else 0.0 for values in spent]
        for place, column in enumerate(table.columns):
            if column in COSTS:
                continue
            values = [cells[place].value for cells in table.cells]
            points = [
                (number, row.title, x, y)
                for number, (row, x, y) in enumerate(zip(table.rows, costs, values, strict=True))
                if x and y is not None and math.isfinite(y)
            ]
            if len({y for *_, y in points}) > 1:
                found.append(_tradeoff(points, cost, column))
    return found


def _tradeoff(
    points: Sequence[tuple[int, str, float, float]], cost: Column, column: Column
) -> Tradeoff:
    xs, ys = [x for _, _, x, _ in points], [y for *_, y in points]
    low, high = math.log10(min(xs)) - 0.15, math.log10(max(xs)) + 0.15
    linear = scale(low, high, SIZE["left"], SIZE["width"] - SIZE["right"])
    up, levels = up_axis(ys)

    def across(x: float) -> float:
        return linear(math.log10(x))

    front = pareto_front([Point(title, x, y) for _, title, x, y in points], column.higher_is_better)
    factors = (1, 2, 5) if high - low < 2 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    marks = [factor * 10.0**power for power in powers for factor in factors]
    return Tradeoff(
        header(column),
        header(cost),
        tuple(
            Dot(
                across(x),
                up(y),
                f"{title}: {number(y, column)} at {x:.3g} {cost.unit or cost.title}",
                colour,
            )
            for colour, title, x, y in points
        ),
        polyline((across(p.x), up(p.y)) for p in front),
        tuple((across(x), f"{x:g}") for x in marks if low <= math.log10(x) <= high),
        levels,
    )


def _distributions(section: Section, table: Table) -> list[DistributionChart]:
    found = []
    for column in image_metrics(table):
        finite = {
            place: {i: v for i, v in row.scores.get(column.name, {}).items() if math.isfinite(v)}
            for place, row in enumerate(table.rows)
        }
        everything = [value for of in finite.values() for value in of.values()]
        if len(set(everything)) < 3:
            continue  # yes or no has no distribution beyond its mean
        found.append(
            _distribution(section, table, column, finite, ticks(min(everything), max(everything)))
        )
    return found


def _distribution(
    section: Section,
    table: Table,
    column: Column,
    finite: dict[int, dict[str, float]],
    steps: Sequence[float],
) -> DistributionChart:
    across = scale(steps[0], steps[-1], WIDE["left"], WIDE["width"] - WIDE["right"])
    lanes: list[Lane] = []
    for place, row in enumerate(table.rows):
        values = finite[place]
        if not values:
            continue
        y = WIDE["top"] + LANE * (len(lanes) + 0.5)
        run = section.groups[place][0].folder.name
        ordered = sorted(values, key=lambda image: values[image])
        chosen = ordered if len(ordered) <= DOTS else [*ordered[:ENDS], *ordered[-ENDS:]]
        dots = tuple(
            Dot(
                across(values[image]),
                y + (0.0 if len(ordered) > DOTS else _spread(rank)),
                f"{image}: {number(values[image], column)}, {row.title}",
                link=f"#{urlencode({'face': image, 'set': section.testset.name, 'left': run})}",
            )
            for rank, image in enumerate(chosen)
        )
        outline = _outline(list(values.values()), steps[0], steps[-1], across, y)
        average = across(mean(list(values.values())))
        lanes.append(Lane(row.title, row.name, y, place, outline, dots, average))
    height = WIDE["top"] + LANE * len(lanes) + WIDE["bottom"]
    marks = tuple((across(x), f"{x:.6g}") for x in steps)
    return DistributionChart(header(column), height, tuple(lanes), marks)


def _spread(rank: int) -> float:
    """Return an offset from the lane's middle that separates close dots."""
    return ((rank * 7) % 11 - 5) * 0.16 * LANE / 2


def _outline(values: Sequence[float], low: float, high: float, across: Map, y: float) -> str:
    """Return the smoothed histogram as a polygon around the lane's middle."""
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    smooth = np.convolve(counts, kernel, mode="same")
    half = 0.46 * LANE * smooth / smooth.max()
    middles = (edges[:-1] + edges[1:]) / 2
    above = [(across(float(x)), y - h) for x, h in zip(middles, half, strict=True)]
    below = [(across(float(x)), y + h) for x, h in zip(middles[::-1], half[::-1], strict=True)]
    return polyline((*above, *below))


def _matrices(table: Table) -> list[Matrix]:
    """Return a matrix per per-image metric that at least two methods have."""
    found = []
    for column in image_metrics(table):
        images = common_images(column.name, table.rows)
        rows = [
            row
            for row in table.rows
            if row.scores.get(column.name)
            and all(math.isfinite(row.scores[column.name][image]) for image in images)
        ]
        if len(rows) > 1 and len(images) > 1:
            found.append(_matrix(column, rows, images))
    return found


def _matrix(column: Column, rows: Sequence[Row], images: Sequence[str]) -> Matrix:
    scores = [np.array([row.scores[column.name][image] for image in images]) for row in rows]
    places = list(combinations(range(len(rows)), 2))
    compared = {pair: paired(scores[pair[1]], scores[pair[0]]) for pair in places}
    corrected = holm([1.0 if c.p_value is None else c.p_value for c in compared.values()])
    p_values = dict(zip(places, corrected, strict=True))

    def cell(i: int, j: int) -> Pair | None:
        if i == j:
            return None
        pair, sign = ((i, j), 1.0) if i < j else ((j, i), -1.0)
        of, p = compared[pair], p_values[pair]
        difference = sign * of.difference
        text = f"{difference:+.{column.digits}f}"
        details = f"{rows[i].title} less {rows[j].title}: {text}"
        if of.interval is not None:
            ends = sorted((sign * of.interval.low, sign * of.interval.high))
            details += " (95 %: {:+.{d}f} to {:+.{d}f})".format(*ends, d=column.digits)
        details += f", p = {p:.2g} after Holm"
        clear = p < SIGNIFICANT and difference != 0
        better = (difference > 0) == column.higher_is_better if clear else None
        return Pair(text, details, better)

    return Matrix(
        header(column),
        tuple(row.title for row in rows),
        tuple(tuple(cell(i, j) for j in range(len(rows))) for i in range(len(rows))),
    )
