"""Point figures: quality against cost, and per-image scatter of two methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError
from bench.report.figures import canvas
from bench.report.renderers.escape import one_line
from bench.report.tables.layout import header

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.report.tables.table import Column

LINE = 1.4 * canvas.FONT / 72
"""Height of a legend row in inches."""


@dataclass(frozen=True)
class Point:
    """A run as a point in a plot."""

    label: str
    x: float
    y: float


def pareto(
    points: Sequence[Point], quality: Column, cost: Column, width: float | None = None
) -> Figure:
    """Draw quality (y) against cost (x, logarithmic) with the Pareto front.

    Points on the front are filled, and a line bounds what they reach. Labels stand beside the
    points, or in a legend below if there is no room for all.

    Raises:
        BenchError: no points.
    """
    if not points:
        raise BenchError(f"No run has both a value and {cost.title}.")
    front = pareto_front(points, quality.higher_is_better)
    marks = [_mark(number, point in front) for number, point in enumerate(points)]
    labels = [point.label for point in points]

    def draw(axes: Any) -> None:
        xs, ys = [p.x for p in front], [p.y for p in front]
        axes.plot(xs, ys, color="0.6", linestyle="--", drawstyle="steps-post", zorder=1)
        for point, mark in zip(points, marks, strict=True):
            axes.plot(point.x, point.y, **mark)

    width = width or canvas.COLUMN
    plot = 0.72 * width
    figure = canvas.blank(width, plot)
    axes = _axes(figure, draw, quality, cost)
    canvas.fit(axes, 0.02, 0.02, width - 0.05, plot - 0.03)
    places = [(point.x, point.y) for point in points]
    if len(canvas.label_points(axes, places, labels)) == len(points):
        return figure
    return _with_legend(draw, quality, cost, labels, marks, width)


def curves(
    series: Mapping[str, Sequence[Point]],
    quality: Column,
    cost: Column,
    width: float | None = None,
) -> Figure:
    """Draw quality (y) against cost (x, logarithmic) with one line per named series.

    Raises:
        BenchError: no points.
    """
    if not any(series.values()):
        raise BenchError(f"No run has both a value and {cost.title}.")
    marks = [_mark(number, filled=True) for number in range(len(series))]

    def draw(axes: Any) -> None:
        for points, mark in zip(series.values(), marks, strict=True):
            ordered = sorted(points, key=lambda point: point.x)
            line = mark | {"linestyle": "-", "linewidth": 0.9}
            axes.plot([p.x for p in ordered], [p.y for p in ordered], **line)

    return _with_legend(draw, quality, cost, list(series), marks, width or canvas.COLUMN)


def _with_legend(
    draw: Callable[[Any], None],
    quality: Column,
    cost: Column,
    labels: Sequence[str],
    marks: Sequence[dict[str, Any]],
    width: float,
) -> Figure:
    """Return a plot with a legend below it."""
    plot = 0.72 * width
    longest = max(canvas.text_width(label) for label in labels)
    columns = max(1, int(width / (longest + 0.35)))
    legend = math.ceil(len(labels) / columns) * LINE
    figure = canvas.blank(width, plot + legend + 0.05)
    axes = _axes(figure, draw, quality, cost)
    canvas.fit(axes, 0.02, legend + 0.07, width - 0.05, plot + legend + 0.02)
    _legend(figure, labels, marks, columns)
    return figure


def _axes(figure: Figure, draw: Callable[[Any], None], quality: Column, cost: Column) -> Any:
    axes: Any = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    draw(axes)
    axes.set(xscale="log", xlabel=one_line(header(cost)), ylabel=one_line(header(quality)))
    canvas.with_grid(axes)
    _plain_ticks(axes)
    return axes


def _mark(number: int, filled: bool) -> dict[str, Any]:
    look = canvas.look(number)
    return {**look, "mfc": look["color"] if filled else "white", "linestyle": ""}


def _legend(
    figure: Figure, labels: Sequence[str], marks: Sequence[dict[str, Any]], columns: int
) -> None:
    """Draw the legend at the foot of a figure, row by row."""
    width, height = figure.get_size_inches()
    rows = math.ceil(len(labels) / columns)
    axes = figure.add_axes((0, 0, 1, rows * LINE / height))
    axes.set(xlim=(0, width), ylim=(rows, 0))
    axes.set_axis_off()
    for number, (label, mark) in enumerate(zip(labels, marks, strict=True)):
        row, column = divmod(number, columns)
        left = column * width / columns
        axes.plot(left + 0.1, row + 0.5, **mark)
        text = canvas.wrapped(label, width / columns - 0.25, lines=1)
        axes.text(left + 0.2, row + 0.5, text, va="center")


def pareto_front(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    """Return the Pareto-optimal points, fastest first."""
    sign = -1 if higher_is_better else 1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, sign * p.y)):
        equal = front and (point.x, point.y) == (front[-1].x, front[-1].y)
        if not front or sign * point.y < sign * front[-1].y or equal:
            front.append(point)
    return front


def scatter(
    pairs: Sequence[tuple[float, float]],
    labels: tuple[str, str],
    metric: Column,
    width: float | None = None,
) -> Figure:
    """Draw a metric of two methods, one point per image, with the diagonal.

    On either side is counted on how many images that method is better; equal ones are named.

    Raises:
        BenchError: no pairs of finite values.
    """
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not finite:
        raise BenchError("The two runs have no scored image in common.")
    width = width or canvas.COLUMN
    figure = canvas.blank(width, width)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    values = [value for pair in finite for value in pair]
    margin = 0.06 * (max(values) - min(values)) or 0.5
    low, high = min(values) - margin, max(values) + margin
    axes.plot([low, high], [low, high], color="0.5", linestyle="--", linewidth=0.8, zorder=1)
    xs, ys = zip(*finite, strict=True)
    size = 9 if len(finite) <= 200 else 4
    axes.scatter(xs, ys, s=size, color=canvas.COLOURS[0], alpha=0.7, linewidth=0, zorder=2)
    title, across, up = map(one_line, (header(metric), *labels))
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    room = width - 0.7
    axes.set_xlabel(canvas.wrapped(f"{title}, {across}", room, lines=1))
    axes.set_ylabel(canvas.wrapped(f"{title}, {up}", room, lines=1))
    above = sum(y > x for x, y in finite)
    equal = sum(y == x for x, y in finite)
    below = len(finite) - above - equal
    upper, lower = (up, across) if metric.higher_is_better else (across, up)
    canvas.fit(axes, 0.02, 0.02, width - 0.05, width - 0.05)
    half = 0.55 * room
    note = f", {equal} equal" if equal else ""
    for place, side, text in (
        ((0.03, 0.97), "left", f"{upper} better: {above}"),
        ((0.97, 0.03), "right", f"{lower} better: {below}{note}"),
    ):
        axes.text(
            *place,
            canvas.wrapped(text, half),
            transform=axes.transAxes,
            ha=side,
            va="top" if side == "left" else "bottom",
        )
    return figure


def _plain_ticks(axes: Any) -> None:
    """Format a logarithmic x axis with plain numbers, denser on a short range."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis
    low, high = axes.get_xlim()
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
